/* One image from one repository: manifest, configuration, layers, and its name. */
#ifndef HULL_IMAGE_REGISTRY_FETCH_H
#define HULL_IMAGE_REGISTRY_FETCH_H

#include "image/registry.h"
#include "image/registry_session.h"

struct registry_fetch {
    struct image_store *store;
    const struct registry_pull_options *options;
    struct registry_session *session;
    struct registry_http *http;
    const struct reference *reference; /* the name that it gets: with a tag, or with a digest */
    char digest[IMAGE_DIGEST_SIZE];    /* set: what the registry knows it by */
    bool up_to_date;                   /* set: the store had it under that name */
    bool began;                        /* set: something was, or might have been, written */
};

/* Fetches what isn't there. */
int registry_fetch(struct registry_fetch *fetch, struct error *err);

#endif
