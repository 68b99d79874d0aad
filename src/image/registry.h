/* The registry client, as the verbs see it. It is a shared module, because linking libcurl would
 * cost every start of hull tens of milliseconds: registry_module_load() loads it for the verbs that
 * talk to registries. */
#ifndef HULL_IMAGE_REGISTRY_H
#define HULL_IMAGE_REGISTRY_H

#include "base/error.h"
#include "image/registry_credentials.h"

/* The module's only symbol is a constant of this type, called hull_registry_operations. Hosts are
 * "docker.io", "registry.example:5000". */
struct registry_operations {
    const char *version; /* HULL_VERSION of its build: first, so that any two builds can compare */

    /* As registry_credentials_find() and registry_credentials_release(). */
    int (*find_credentials)(const char *host, struct registry_credentials *credentials,
                            struct error *err);
    void (*release_credentials)(struct registry_credentials *credentials);

    /* Tries a user and secret, and keeps them if the registry takes them (or, instead of the
     * secret, the refresh token that it gives). -1 with err->code EACCES if it refuses them.
     * *plain_path as of registry_credentials_store(). */
    int (*login)(const char *host, struct registry_credentials *credentials, char **plain_path,
                 struct error *err);

    /* Forgets: 1 if something was kept, 0 if not, -1 on error. */
    int (*logout)(const char *host, struct error *err);
};

/* The host that an argument of login and logout means: without scheme and path, in lower case,
 * docker.io by any of its names. The caller frees; NULL if it is none. Needs no module. */
char *registry_parse_host(const char *text, struct error *err);

/* Loads the module from beside the program, or from where it is installed. NULL on error. It stays
 * loaded. */
const struct registry_operations *registry_module_load(struct error *err);

#endif
