/* The parts of `hull system df`. */
#ifndef HULL_CLI_SYSTEM_DF_H
#define HULL_CLI_SYSTEM_DF_H

#include "cli/engine_verb.h"

/* -v: each image, container and volume with what it takes. */
int system_df_print_details(struct cli_context *context, struct engine *engine, struct error *err);

#endif
