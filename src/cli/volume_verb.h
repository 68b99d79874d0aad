/* What the verbs about volumes share. */
#ifndef HULL_CLI_VOLUME_VERB_H
#define HULL_CLI_VOLUME_VERB_H

#include "cli/verb.h"
#include "volume/volume.h"

/* Opens the volumes below the context's root, acts, and closes them; a failure ends the program
 * with docker's 1. */
int volume_verb_run(struct cli_context *context,
                    int (*act)(struct cli_context *context, struct volume_store *store,
                               struct error *err),
                    struct error *err);

/* Reads the values of a repeated flag, KEY=VALUE or KEY, as an object; the caller drops it. */
json_t *volume_verb_read_map(struct cli_context *context, const char *flag, struct error *err);

/* `--filter`: whether a volume of volume_list() has all the labels that are asked for, none of
 * those that aren't wanted, one of the drivers and names, and is used or not as dangling says. */
struct volume_filter {
    const char **filters;
    size_t count;
};
/* known as for filter_check(). */
int volume_filter_check(const struct volume_filter *filter, const char *known, struct error *err);
bool volume_filter_passes(const struct volume_filter *filter, const json_t *volume);

#endif
