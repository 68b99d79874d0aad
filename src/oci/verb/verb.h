/* The verbs of hull-oci: one file each, a thin layer between the command line and the level
 * `container`. */
#ifndef HULL_OCI_VERB_VERB_H
#define HULL_OCI_VERB_VERB_H

#include <stdbool.h>

#include "base/command.h"
#include "base/error.h"
#include "base/warning.h"
#include "oci/verb/log.h"

struct verb_context {
    struct command_line *line;
    const struct log *log;
    const struct warnings *warnings; /* into the log */
    const char *root;                /* where the containers are recorded */
    bool systemd_cgroup;
    bool rootless;
    int exit_status; /* what the verb wants the process to exit with, 0 … 255 */
};

/* Each returns 0, or -1 with the error that main prints. */
int verb_create(struct verb_context *context, struct error *err);
int verb_delete(struct verb_context *context, struct error *err);
int verb_events(struct verb_context *context, struct error *err);
int verb_exec(struct verb_context *context, struct error *err);
int verb_features(struct verb_context *context, struct error *err);
int verb_kill(struct verb_context *context, struct error *err);
int verb_list(struct verb_context *context, struct error *err);
int verb_pause(struct verb_context *context, struct error *err);
int verb_ps(struct verb_context *context, struct error *err);
int verb_resume(struct verb_context *context, struct error *err);
int verb_run(struct verb_context *context, struct error *err);
int verb_spec(struct verb_context *context, struct error *err);
int verb_start(struct verb_context *context, struct error *err);
int verb_state(struct verb_context *context, struct error *err);
int verb_update(struct verb_context *context, struct error *err);

/* A whole number given for a flag; minimum … maximum. Leaves *number alone if it isn't given. */
int verb_number(const struct verb_context *context, const char *flag, long long minimum,
                long long maximum, long long *number, struct error *err);

/* The same of a number of bytes, which may have a unit of 1024: "50M", "1g", "64KiB". */
int verb_bytes(const struct verb_context *context, const char *flag, long long minimum,
               long long maximum, long long *number, struct error *err);

/* A path as it is from any working directory; it lives as long as the command line. NULL stays. */
const char *verb_absolute_path(const struct verb_context *context, const char *path);

/* How many descriptors LISTEN_FDS announces to us (sd_listen_fds(3)), 0 if it is for others. */
int verb_listen_fds(void);

/* The container that the first argument names. */
static inline const char *verb_id(const struct verb_context *context)
{
    return context->line->arguments[0];
}

#endif
