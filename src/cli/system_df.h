/* The parts of `hull system df`. */
#ifndef HULL_CLI_SYSTEM_DF_H
#define HULL_CLI_SYSTEM_DF_H

#include "cli/engine_verb.h"

/* volume_size(), as far as it is known: -1 for a file system of its own, or if it is gone. */
int system_df_measure(struct volume_store *store, const json_t *volume, int64_t *bytes,
                      struct error *err);
/* -v: each image, container and volume with what it takes. */
int system_df_print_details(struct cli_context *context, struct engine *engine, struct error *err);

#endif
