/* What refers to a manifest by its "subject" (OCI distribution specification 1.1, "Referrers Tag
 * Schema"). */
#ifndef HULL_IMAGE_REGISTRY_REFERRERS_H
#define HULL_IMAGE_REGISTRY_REFERRERS_H

#include "image/registry_manifest.h"

/* The digest that a manifest has as its subject: 1, or 0 if it has none. */
int registry_subject(const struct registry_manifest *manifest, char digest[IMAGE_DIGEST_SIZE]);

/* At a registry that knows no subjects: enters the manifest, which was pushed, into the index that
 * has the subject's digest as its tag. */
int registry_referrers_add(struct registry_session *session, struct registry_http *http,
                           const char *subject, const struct registry_manifest *manifest,
                           struct error *err);

#endif
