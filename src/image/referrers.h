/* What refers to an image: signatures, bills of materials, attestations and whatever else names an
 * image's manifest as its "subject" (OCI image-spec, "image manifest"). A list of them is an index,
 * whose descriptors tell of each what its manifest says of itself (OCI distribution-spec, "Listing
 * Referrers"). */
#ifndef HULL_IMAGE_REFERRERS_H
#define HULL_IMAGE_REFERRERS_H

#include "image/image.h"

#define REFERRERS_MAX 10000

struct referrer {
    char digest[IMAGE_DIGEST_SIZE]; /* of its manifest, as are media_type and size */
    char media_type[128];
    char artifact_type[256]; /* "" if nothing tells */
    int64_t size;
    json_t *annotations; /* texts by their keys; an object, never NULL */
};

struct referrers {
    struct referrer *items; /* each digest once */
    size_t count;
    json_t *digests; /* keys: theirs */
};

/* Zeroes it too; a zeroed list is borne. */
void referrers_release(struct referrers *referrers);
#define scope_referrers __attribute__((cleanup(referrers_release)))

/* What kind of thing a manifest describes: its artifactType, or else the type of its configuration.
 * NULL if it says neither. */
const char *referrer_type(const json_t *manifest);

/* What a manifest says that it describes instead of an image: "an artifact of type
 * application/spdx+json that refers to sha256:…". False if it may well be an image's. */
#define REFERRER_TEXT_SIZE 384
bool referrer_is_no_image(const json_t *manifest, char text[REFERRER_TEXT_SIZE]);

/* The descriptor of a manifest in an index of referrers; the caller releases it. */
json_t *referrer_describe(const json_t *manifest, const char *media_type, const char *digest,
                          size_t length);

/* Adds what a descriptor tells, unless it is there already or of another type than the one wanted
 * (NULL: any). -1 with err, which isn't NULL, if that isn't valid, or there are too many (err->code
 * E2BIG). */
int referrers_add(struct referrers *referrers, const json_t *descriptor, const char *wanted,
                  struct error *err);

/* Those of the store's images that refer to image, by any digest that it is known by. */
int image_referrers(struct image_store *store, const struct image *image, const char *wanted,
                    struct referrers *referrers, struct error *err);

#endif
