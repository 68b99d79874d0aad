/* An image of what a container has become. */
#ifndef HULL_ENGINE_COMMIT_H
#define HULL_ENGINE_COMMIT_H

#include "engine/engine.h"

struct engine_commit {
    const char *author, *message;      /* may be NULL */
    const struct reference *reference; /* the image's name, or NULL */
    const char *const *changes;        /* a Dockerfile's instructions: image_config_change() */
    size_t change_count;
    bool pause; /* freeze the container meanwhile, so that its files are of one moment; where that
                   can't be done, it is a warning */
};

/* Release image afterwards. */
int engine_commit(struct engine *engine, const struct engine_container *container,
                  const struct engine_commit *commit, struct image *image, struct error *err);

#endif
