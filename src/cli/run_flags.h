/* The flags of `run` and `create`, and the settings that they make: a document in the shape of the
 * body of POST /containers/create of Docker's Engine API (docs/settings.md). Only what was given
 * stands in it. */
#ifndef HULL_CLI_RUN_FLAGS_H
#define HULL_CLI_RUN_FLAGS_H

#include <jansson.h>

#include "base/command.h"
#include "base/error.h"
#include "base/warning.h"

/* The table begins with what `run` has and `create` hasn't, so that each has one that ends alike:
 * `.flags = run_flags` and `.flags = run_flags + RUN_FLAGS_OF_RUN`. */
#define RUN_FLAGS_OF_RUN 3
extern const struct command_flag run_flags[];

/* Makes the settings from the flags and from the arguments, IMAGE [COMMAND [ARGUMENT…]]. Each value
 * is checked for itself; that they go together is for settings_check() to say. Of the environment
 * it reads the variables named by -e NAME, and files that flags name. Beside Docker's members there
 * are "name" and "platform", if given. The flags about the command rather than the container
 * (--detach, --detach-keys, --sig-proxy, --pull, --quiet, --cidfile's writing) are the verb's.
 * *settings is the caller's to give back; -1 with one line that names the flag and its value. */
int run_flags_make_settings(struct command_line *line, const struct warnings *warnings,
                            json_t **settings, struct error *err);

/* Where *err begins with a member of the settings it is about, puts the flag that made it there. */
void run_flags_explain(struct error *err);

/* What `update` changes: a new object with members of HostConfig, of those flags that the verb has
 * and that were given. NULL with the error. */
json_t *run_flags_make_changes(struct command_line *line, struct error *err);

#endif
