#ifndef HULL_ENGINE_START_H
#define HULL_ENGINE_START_H

#include "engine/engine_internal.h"

/* Starts a container that doesn't run, whose lock the caller holds. */
int engine_start_locked(struct engine *engine, const struct engine_container *container,
                        struct engine_start *start, struct error *err);
/* The /dev/shm that a container shares. */
void engine_drop_shm(const char *run_directory);
/* The object for each log record's "attrs" that --log-opt labels, env and tag ask for, as text
 * (the caller frees); NULL: none. */
char *engine_log_attributes(const struct engine_container *container, const json_t *options);
/* What the container is doing, made true: a monitor that was killed is recovered from. lock: the
 * container's, if the caller holds it, else -1. */
int engine_settle(struct engine *engine, const struct engine_container *container, int lock,
                  struct monitor_status *status, struct error *err);
/* The user namespace of --userns private, of one start. */
struct engine_userns {
    int fd;           /* -1: it has none of its own */
    char *path;       /* where it is pinned, in the run directory */
    json_t *mappings; /* as linux.uidMappings */
};
bool engine_userns_is_wanted(const struct engine_container *container);
/* Chooses the ids, and keeps them in the new container's settings. */
int engine_userns_choose(struct engine *engine, struct engine_container *container,
                         struct error *err);
int engine_userns_prepare(const struct engine_container *container, struct engine_userns *userns,
                          struct error *err);
void engine_userns_release(struct engine_userns *userns);
#define scope_engine_userns __attribute__((cleanup(engine_userns_release)))
/* That of a container that runs, as a descriptor; -1 if it has none of its own. */
int engine_userns_open(const struct engine_container *container, int *fd, struct error *err);
/* Its root's id here, which is the first of the range; 0 if it has none of its own. */
uid_t engine_userns_root(const struct engine_container *container);
/* Takes the pin away; nothing happens if there is none. */
void engine_userns_drop(const char *run_directory);

/* The limit of --storage-opt size, on a new container's directory; and its end. */
int engine_quota_set(const struct engine_container *container, struct error *err);
void engine_quota_drop(const struct engine_container *container);

/* Removes one that doesn't run, whose lock the caller holds. */
int engine_remove_locked(struct engine *engine, const struct engine_container *container,
                         bool anonymous_volumes, struct error *err);
/* Ends a container that waits to begin, and whose start was killed before that. */
int engine_end_waiting(const struct engine_container *container, struct error *err);
/* Waits, for a while, until the monitor has let go: its cleanup included. */
void engine_await_monitor(const struct engine_container *container);

#endif
