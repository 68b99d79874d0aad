/* Manifests, indexes and lists of tags, as a registry gives and takes them (OCI distribution
 * specification, "Pulling manifests", "Content Discovery"). */
#ifndef HULL_IMAGE_REGISTRY_MANIFEST_H
#define HULL_IMAGE_REGISTRY_MANIFEST_H

#include "image/image.h"
#include "image/registry_session.h"

struct registry_manifest {
    char *bytes;
    size_t length;
    char media_type[128];
    char digest[IMAGE_DIGEST_SIZE]; /* of the bytes, computed here */
};
void registry_manifest_release(struct registry_manifest *manifest);
#define scope_registry_manifest __attribute__((cleanup(registry_manifest_release)))

/* What digest the registry says a tag or digest has: 1; 0 if it doesn't say; -1 with ENOENT if it
 * isn't there. */
int registry_manifest_ask(struct registry_session *session, struct registry_http *http,
                          const char *reference, char digest[IMAGE_DIGEST_SIZE], struct error *err);

/* Fetches a manifest or an index by tag or digest, and verifies its digest: that which it was asked
 * by, and that which the registry says. Release it whatever this returns. */
int registry_manifest_get(struct registry_session *session, struct registry_http *http,
                          const char *reference, struct registry_manifest *manifest,
                          struct error *err);

#define REGISTRY_INDEX_DEPTH 3 /* indexes may lead to indexes */

/* The descriptor in an index, with a valid digest, of what serves a platform best; NULL with an
 * error that lists what there is. The caller releases it. */
json_t *registry_manifest_choose(const struct registry_manifest *index,
                                 const struct platform *wanted, struct error *err);

/* Stores one by tag or digest. subject receives whether the registry knows what a subject is
 * (OCI-Subject); NULL: no matter. */
int registry_manifest_put(struct registry_session *session, struct registry_http *http,
                          const char *reference, const struct registry_manifest *manifest,
                          bool *knows_subject, struct error *err);

/* All tags of the repository; the caller frees with registry_tags_free(). */
int registry_tags_get(struct registry_session *session, struct registry_http *http, char ***tags,
                      size_t *count, struct error *err);
void registry_tags_free(char **tags, size_t count);

#endif
