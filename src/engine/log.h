/* What a container's program has printed: the json-file log, with all its rotated files. */
#ifndef HULL_ENGINE_LOG_H
#define HULL_ENGINE_LOG_H

#include "engine/engine.h"

struct engine_log_record {
    int stream;       /* 1: standard output, 2: standard error */
    const char *text; /* with its newline, unless the record ends in the midst of a line */
    size_t length;
    int64_t time;             /* ns since 1970 */
    const json_t *attributes; /* labels and variables that --log-opt asked for; or NULL */
};

struct engine_log_options {
    int64_t since, until; /* ns; 0: no bound */
    int64_t tail;         /* only the last records, at most; < 0: all */
    bool follow;          /* go on until the container ends */
    /* 0: go on, 1: that's enough, -1: failed. */
    int (*take)(const struct engine_log_record *record, void *context, struct error *err);
    void *context;
};

/* Gives the records in their order. Lines that aren't records, of a damaged file, are passed over
 * with a warning. An error if the container's log driver keeps nothing. */
int engine_read_log(struct engine *engine, const struct engine_container *container,
                    const struct engine_log_options *options, struct error *err);

#endif
