/* What the verbs about images share. */
#ifndef HULL_CLI_IMAGE_VERB_H
#define HULL_CLI_IMAGE_VERB_H

#include <jansson.h>

#include "cli/verb.h"
#include "image/image.h"

/* Opens the image store below the context's root. */
int image_verb_open(struct cli_context *context, struct image_store **store, struct error *err);
/* Opens it, acts, and closes it; a failure ends the program with docker's 1. */
int image_verb_run(struct cli_context *context,
                   int (*act)(struct cli_context *context, struct image_store *store,
                              struct error *err),
                   struct error *err);
/* image_find(), for which there being none is an error. The default image is made if it is asked
 * for. */
int image_verb_find(struct image_store *store, const char *name, struct image *image,
                    struct error *err);

/* The object that `image inspect` prints, docker's ImageInspect. */
json_t *image_describe(struct image_store *store, const struct image *image);

/* `--filter KEY=VALUE`, all of which must hold (but those of the same key, of which one must). */
struct image_filter {
    struct image_store *store;
    const char **filters;
    size_t count;
};
/* Checks the keys against known, which are words with blanks between. */
int image_filter_check(const struct image_filter *filter, const char *known, struct error *err);
/* Whether an image passes; name is one of its names or NULL where it is about all of the image. */
bool image_filter_passes(const struct image_filter *filter, const struct image *image,
                         const char *name);

/* "bb7d9bc96b1d", or all of it. */
struct image_verb_id {
    char text[IMAGE_DIGEST_SIZE];
};
struct image_verb_id image_verb_show_id(const char *id, bool whole);

#endif
