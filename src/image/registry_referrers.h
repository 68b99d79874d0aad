/* What refers to a manifest by its "subject", at a registry (OCI distribution specification 1.1,
 * "Listing Referrers", and "Referrers Tag Schema" of those that don't list them). */
#ifndef HULL_IMAGE_REGISTRY_REFERRERS_H
#define HULL_IMAGE_REGISTRY_REFERRERS_H

#include "image/referrers.h"
#include "image/registry_manifest.h"

/* The digest that a manifest has as its subject: 1, or 0 if it has none. */
int registry_subject(const struct registry_manifest *manifest, char digest[IMAGE_DIGEST_SIZE]);

/* At a registry that knows no subjects: enters the manifest, which was pushed, into the index that
 * has the subject's digest as its tag. */
int registry_referrers_add(struct registry_session *session, struct registry_http *http,
                           const char *subject, const struct registry_manifest *manifest,
                           struct error *err);

/* All that refer to the manifest of that digest, of one artifact type or (NULL) of any. That there
 * is such a manifest isn't asked for. Release them whatever this returns. */
int registry_referrers_get(struct registry_session *session, struct registry_http *http,
                           const char *subject, const char *wanted, struct referrers *referrers,
                           struct error *err);

#endif
