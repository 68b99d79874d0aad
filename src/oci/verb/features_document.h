/* What the `features` verb prints (runtime-spec 1.2, features.md and features-linux.md).
 * (Not features.h, which is the C library's.) */
#ifndef HULL_OCI_FEATURES_DOCUMENT_H
#define HULL_OCI_FEATURES_DOCUMENT_H

#include <jansson.h>

/* The features document, a new reference. mount_options is the NULL-terminated list of the mount
 * options that hull understands. It says what hull can do, wherever it runs; only the supported
 * seccomp flags and the version of libseccomp are the host's. */
json_t *features_document(const char *const *mount_options);

#endif
