/* Files into and out of containers, by docker's rules of `cp`. Both sides are directories that no
 * path leaves: the container's root, or the host's. */
#ifndef HULL_ENGINE_COPY_H
#define HULL_ENGINE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/warning.h"
#include "image/archive.h"

struct copy_place {
    int root;           /* a directory's descriptor; the caller's */
    int user_namespace; /* -1, or a descriptor: there files are read and made by its root */
    const char *path;   /* below it. "/." at its end: what is in the directory rather than it */
    const char *name;   /* what errors call it: "web:/srv" */
};

struct copy_options {
    bool follow_link; /* a link as source stands for what it leads to */
    bool owners;      /* keep owners; else files are the caller's */
    /* Nothing is written below the mount that is at the destination's root: it is read-only. */
    bool root_is_read_only;
    const struct warnings *warnings;
};

/* Copies; *bytes, unless NULL, is how much that was as an archive. */
int copy_tree(const struct copy_place *source, const struct copy_place *destination,
              const struct copy_options *options, int64_t *bytes, struct error *err);

/* The source as a tar, whose names begin with the source's own. */
int copy_to_archive(const struct copy_place *source, const struct copy_options *options,
                    archive_take *take, void *context, struct error *err);

/* Extracts a tar, plain or compressed, into the destination, a directory that is there. */
int copy_from_archive(int fd, const struct copy_place *destination,
                      const struct copy_options *options, struct error *err);

#endif
