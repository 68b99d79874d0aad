/* Images for several platforms: what an index (OCI image-spec, "image index"; docker's manifest
 * list) leads to. The store's images are of one platform each; of an image that came with its index
 * and is to be pushed as it came, the index and all that is here of it are kept beside. */
#ifndef HULL_IMAGE_MEMBERS_H
#define HULL_IMAGE_MEMBERS_H

#include "image/image.h"

/* A manifest, or an index. */
struct image_member {
    char digest[IMAGE_DIGEST_SIZE];
    char media_type[128];
    struct platform platform; /* as its descriptor says; os "" if it doesn't */
    bool is_index;
    bool is_here;                   /* it and, of a manifest, each of its blobs */
    struct image_descriptor *blobs; /* of a manifest: the layers and, last, the configuration */
    size_t blob_count;
};

struct image_members {
    struct image_member *items; /* each after those that it leads to; the index itself is last */
    size_t count;
};

/* Everything that the index leads to, each once. Release it whatever this returns. */
int image_members_read(struct image_store *store, const char *index, struct image_members *members,
                       struct error *err);
void image_members_release(struct image_members *members);
#define scope_image_members __attribute__((cleanup(image_members_release)))

/* The manifest that serves a platform best; NULL with an error that lists what there is. */
const struct image_member *image_members_select(struct image_store *store, const char *index,
                                                const struct image_members *members,
                                                const struct platform *platform, struct error *err);

#endif
