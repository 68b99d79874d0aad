/* The verbs of hull-vm. */
#ifndef HULL_VM_RUNTIME_VERB_H
#define HULL_VM_RUNTIME_VERB_H

#include <sys/types.h>

#include "base/command.h"
#include "base/error.h"

struct verb_context {
    struct command_line *line;
    const char *root;
    const char *id;
};

/* Each returns 0, or -1 with the error that main prints. */
int verb_create(const struct verb_context *context, struct error *err);
int verb_delete(const struct verb_context *context, struct error *err);
int verb_events(const struct verb_context *context, struct error *err);
int verb_exec(const struct verb_context *context, struct error *err);
int verb_kill(const struct verb_context *context, struct error *err);
int verb_pause(const struct verb_context *context, struct error *err);
int verb_ps(const struct verb_context *context, struct error *err);
int verb_resume(const struct verb_context *context, struct error *err);
int verb_start(const struct verb_context *context, struct error *err);
int verb_state(const struct verb_context *context, struct error *err);

extern const struct command_program vm_program;

/* ---- detach.c: processes that go on when a verb has ended ---- */

/* Makes a process that calls run(), which doesn't return, once note() (which may be NULL) has
 * recorded it. With terminal its standard streams are one, whose master is sent to
 * --console-socket. Waits until it says that it is ready, then writes --pid-file. */
struct detached_options {
    bool has_terminal;
    unsigned short rows, columns; /* of the terminal; 0: unknown */
    int cgroup;                   /* directory of the v2 cgroup that it is to be in, or -1 */
    int (*note)(void *context, pid_t pid, struct error *err);
    void (*run)(void *context, int ready);
    void *context;
};
int detach_process(const struct verb_context *context, const struct detached_options *options,
                   struct error *err);

#endif
