/* Credentials, kept where docker keeps them: config.json in $DOCKER_CONFIG or ~/.docker, and the
 * programs docker-credential-NAME that it names (credsStore, credHelpers). So that who logged in
 * with docker or podman's compatible file needn't do it again, and the other way round. */
#ifndef HULL_IMAGE_REGISTRY_CREDENTIALS_H
#define HULL_IMAGE_REGISTRY_CREDENTIALS_H

#include "base/error.h"

/* Strings are allocated; NULL where there is none. */
struct registry_credentials {
    char *user, *secret;
    char *identity_token; /* an OAuth2 refresh token, instead of the secret */
    char *registry_token; /* a bearer token that is used as it is; only ever read */
};

void registry_credentials_release(struct registry_credentials *credentials);
#define scope_registry_credentials __attribute__((cleanup(registry_credentials_release)))

/* Reads what is kept for a registry ("docker.io", "registry.example:5000") into *credentials, which
 * stays empty if there is nothing. Release it whatever this returns. */
int registry_credentials_find(const char *host, struct registry_credentials *credentials,
                              struct error *err);

/* Keeps a user and a secret or identity token, in place of what was kept. The file is written
 * beside and renamed, mode 0600, and what hull doesn't know in it stays. *plain_path is set to the
 * file's path (the caller frees) if the secret stands in it as it is, to NULL if a helper has it.
 */
int registry_credentials_store(const char *host, const struct registry_credentials *credentials,
                               char **plain_path, struct error *err);

/* Forgets what is kept: 1 if something was, 0 if not, -1 on error. */
int registry_credentials_erase(const char *host, struct error *err);

#endif
