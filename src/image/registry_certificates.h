/* The certificates configured for one registry, where docker has them: DIRECTORY/HOST/ *.crt are
 * authorities trusted besides the system's, NAME.cert with NAME.key is what we show. */
#ifndef HULL_IMAGE_REGISTRY_CERTIFICATES_H
#define HULL_IMAGE_REGISTRY_CERTIFICATES_H

#include "image/registry_config.h"

struct registry_certificates {
    char *authorities; /* PEM, one behind the other; NULL: only the system's */
    size_t length;
    char *certificate, *key; /* paths; NULL: none */
};

/* Reads them for an authority ("registry.example:5000"), from the first directory that has some.
 * Release whatever this returns. */
int registry_certificates_find(const struct registry_config *config, const char *host,
                               struct registry_certificates *certificates, struct error *err);
void registry_certificates_release(struct registry_certificates *certificates);
#define scope_registry_certificates __attribute__((cleanup(registry_certificates_release)))

#endif
