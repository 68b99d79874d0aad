/* Who we are to a registry: the exchange that its challenge asks for. Basic (RFC 7617), or a token
 * from the server that it names (docker's "Token Authentication Specification", and with a refresh
 * token "OAuth2 Token Authentication"). */
#ifndef HULL_IMAGE_REGISTRY_AUTH_H
#define HULL_IMAGE_REGISTRY_AUTH_H

#include "base/error.h"
#include "image/registry_config.h"
#include "image/registry_credentials.h"

/* Tries credentials at a registry ("docker.io", "registry.example:5000"). 0 if it takes them or
 * asks for none; -1 with err->code EACCES if it refuses them. A refresh token that the token server
 * gives in exchange for the secret takes its place in *credentials. */
int registry_auth_check(const struct registry_config *config, const char *host,
                        struct registry_credentials *credentials, struct error *err);

#endif
