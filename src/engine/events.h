/* What has happened to containers, images, networks and volumes: RUN_ROOT/events, read. */
#ifndef HULL_ENGINE_EVENTS_H
#define HULL_ENGINE_EVENTS_H

#include "engine/engine.h"

struct engine_events_options {
    int64_t since, until; /* ns; 0: no bound. Without both only what happens from now on counts */
    const char **filters; /* "KEY=VALUE", docker's; several of one key: any of them */
    size_t filter_count;
    /* event: as in monitor/monitor.h. 0: go on, 1: that's enough, -1: failed. */
    int (*take)(const json_t *event, void *context, struct error *err);
    void *context;
};

/* Gives the events that are there, and then each that comes, until `until` or for ever. */
int engine_read_events(struct engine *engine, const struct engine_events_options *options,
                       struct error *err);

#endif
