/* What is known of a machine between commands: ROOT/ID.container, written before anything is made,
 * and ROOT/ID.control, the socket of its keeper. */
#ifndef HULL_VM_RUNTIME_RECORD_H
#define HULL_VM_RUNTIME_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/cgroup.h"

struct record {
    char *root, *id, *bundle;
    pid_t keeper;          /* 0: it isn't there yet */
    uint64_t keeper_start; /* process_start_time() */
    struct cgroup cgroup;
};

/* Enters a new one; an id that is in use, or isn't one, is an error. Strings are copied. */
int record_enter(struct record *record, const char *root, const char *id, const char *bundle,
                 const struct cgroup *cgroup, struct error *err);
/* Notes who keeps the machine. */
int record_set_keeper(struct record *record, pid_t keeper, struct error *err);
/* 1, 0: there is none of this id (no error is set), -1. */
int record_read(struct record *record, const char *root, const char *id, struct error *err);
/* The same, but that there is none is an error. */
int record_require(struct record *record, const char *root, const char *id, struct error *err);
/* Whether its keeper lives. */
bool record_is_alive(const struct record *record);
/* Removes it and the socket. */
int record_remove(const struct record *record, struct error *err);
void record_release(struct record *record);
#define scope_record __attribute__((cleanup(record_release)))

/* Ends what is left of a machine, and removes all that was made for it (delete.c). */
int machine_forget(const struct record *record, struct error *err);

/* Where the keeper listens; the caller frees. */
char *record_control_path(const struct record *record);

#endif
