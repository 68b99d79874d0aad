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
/* Removes one that doesn't run, whose lock the caller holds. */
int engine_remove_locked(struct engine *engine, const struct engine_container *container,
                         bool anonymous_volumes, struct error *err);
/* Ends a container that waits to begin, and whose start was killed before that. */
int engine_end_waiting(const struct engine_container *container, struct error *err);
/* Waits, for a while, until the monitor has let go: its cleanup included. */
void engine_await_monitor(const struct engine_container *container);

#endif
