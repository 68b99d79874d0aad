/* Between the files that verify what the engine keeps. */
#ifndef HULL_ENGINE_CHECK_H
#define HULL_ENGINE_CHECK_H

#include "engine/engine_internal.h"

struct check {
    struct engine *engine;
    json_t *findings;
    struct image_lease_holder *holders; /* leases of images */
    size_t holder_count;
};

/* Appends a line. */
void check_found(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A container that has a row, whatever goes by its id. */
int check_container(struct check *check, const struct engine_container *container,
                    struct error *err);

#endif
