/* What running containers use. */
#ifndef HULL_ENGINE_STATS_H
#define HULL_ENGINE_STATS_H

#include "engine/engine.h"

struct engine_stats {
    int64_t time;                       /* ns of CLOCK_MONOTONIC, when it was read */
    uint64_t cpu;                       /* ns of processor time so far */
    uint64_t memory, memory_limit;      /* bytes; without what is only cached */
    uint64_t received, sent;            /* bytes, over all its interfaces but loopback */
    uint64_t block_read, block_written; /* bytes */
    uint64_t pids;
};

/* 1: read; 0: it doesn't run (any more); -1: failed. */
int engine_read_stats(struct engine *engine, const struct engine_container *container,
                      struct engine_stats *stats, struct error *err);

#endif
