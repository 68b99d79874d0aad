/* What `container prune` and `system prune` share. */
#ifndef HULL_CLI_PRUNE_H
#define HULL_CLI_PRUNE_H

#include "cli/engine_verb.h"

/* --filter until, label and label!, all of which must hold. */
struct prune_filter {
    const char **filters;
    size_t count;
};

/* Removes containers that don't run, prints their ids, and adds to *bytes what that freed. What
 * can't be removed is reported. */
int prune_containers(struct cli_context *context, struct engine *engine,
                     const struct prune_filter *filter, int64_t *bytes, struct error *err);

/* Prints a heading, the texts and an empty line; nothing if there are none. */
void prune_print(const char *heading, const json_t *texts);

#endif
