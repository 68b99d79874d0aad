/* Several blobs at a time: lanes are threads that take one after the other, each with its own
 * connection. */
#ifndef HULL_IMAGE_REGISTRY_LANES_H
#define HULL_IMAGE_REGISTRY_LANES_H

#include "image/registry_session.h"

/* Calls work for every index below count, in their order but several at a time (as many as the
 * configuration says). The first failure cancels the others and is what is returned. */
int registry_lanes_run(const struct registry_session *session, size_t count,
                       int (*work)(void *context, struct registry_http *http, size_t index,
                                   struct error *err),
                       void *context, struct error *err);

#endif
