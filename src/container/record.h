/* What is recorded of a container: one flat file, ROOT/ID.container, from before anything else is
 * created until after everything else is gone.
 *
 * It is a journal. The first line is a JSON header with all that is needed to undo the container
 * (bundle, cgroup, …); then come the bytes of config.json as they were at creation; then one line
 * of JSON for each thing that happened since. A line is written by one write(2), and a torn last
 * line doesn't count, so a reader sees the truth whenever a writer is killed.
 *
 * The file is never replaced, so flock(2) on it is the container's lock. The container's first
 * process shares the creator's open file description until it executes the program: the lock
 * is free only when neither of them is still at work. */
#ifndef HULL_CONTAINER_RECORD_H
#define HULL_CONTAINER_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum container_status {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_STOPPED
};
extern const char *const container_status_names[]; /* "creating", "created", … */

struct record {
    int directory; /* O_PATH descriptor of ROOT */
    int fd;        /* the journal */
    char *id;
    json_t *header;    /* NULL if its writer was killed before the first line was whole */
    char *config_text; /* config.json as it was at creation; NULL if not whole */
    size_t config_length;
    pid_t pid;           /* the first process; 0 before it exists */
    uint64_t start_time; /* its start in clock ticks since boot: tells it from a later namesake */
    pid_t hook_pid;      /* the last hook that a runtime began; 0 if none */
    uint64_t hook_start_time;
    bool locked;  /* by us */
    bool created; /* `create` was acknowledged; `start` decides the rest */
};
#define RECORD_CLOSED                                                                              \
    {                                                                                              \
        .directory = -1, .fd = -1                                                                  \
    }

/* Is id a name that can be a container's: [A-Za-z0-9_+.-]+, not "." or "..", short enough? */
int record_check_id(const char *id, struct error *err);

/* Writes a new record and takes its lock. Fails with code EEXIST if id is taken. The header's
 * reference is taken over. Makes ROOT (0700) if it is missing. */
int record_create(struct record *record, const char *root, const char *id, json_t *header,
                  const char *config_text, size_t config_length, struct error *err);

/* Opens an existing record; code ENOENT if there is none. */
int record_open(struct record *record, const char *root, const char *id, struct error *err);
void record_close(struct record *record);
#define scope_record __attribute__((cleanup(record_close)))

/* Takes the lock, waiting at most wait_milliseconds. */
int record_lock(struct record *record, int wait_milliseconds, struct error *err);
void record_unlock(struct record *record);
/* Reads the journal again: another process may have added to it before we got the lock. */
int record_reload(struct record *record, struct error *err);

int record_add_process(struct record *record, pid_t pid, struct error *err);
int record_add_created(struct record *record, struct error *err);
/* Records the calling process, as the one that is about to become a hook of the host's. */
int record_add_hook(const struct record *record, struct error *err);
/* Removes the start socket and the journal: the container is forgotten. */
int record_remove(struct record *record, struct error *err);

/* The truth now, from the journal, the process and the start socket; not whether it is paused. */
enum container_status record_status(const struct record *record);

/* A pidfd of the container's first process, or -1 with errno ESRCH if it is gone. */
int record_open_process(const struct record *record);

/* Kills the recorded hook, with its process group, if it still runs. */
void record_kill_hook(const struct record *record);

/* The socket, ROOT/INODE.start, on which a created container waits for `start`. */
int record_listen_start(const struct record *record, struct error *err);
/* -1 with code ECONNREFUSED or ENOENT if nobody waits; EAGAIN if somebody does, but doesn't get
 * round to those who ask: it is frozen, or busy with a hook. */
int record_connect_start(const struct record *record, struct error *err);
void record_unlink_start(const struct record *record);

/* The names of all containers in ROOT, sorted; a missing ROOT has none. The caller frees each
 * and the array. */
int record_list(const char *root, char ***ids, size_t *count, struct error *err);

#endif
