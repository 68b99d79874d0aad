/* Who we are to a registry: the exchange that its challenge asks for. Basic (RFC 7617), or a token
 * from the server that it names (docker's "Token Authentication Specification", and with a refresh
 * token "OAuth2 Token Authentication"). */
#ifndef HULL_IMAGE_REGISTRY_AUTH_H
#define HULL_IMAGE_REGISTRY_AUTH_H

#include "base/error.h"
#include "image/registry_config.h"
#include "image/registry_credentials.h"
#include "image/registry_http.h"

/* Tries credentials at a registry ("docker.io", "registry.example:5000"). 0 if it takes them or
 * asks for none; -1 with err->code EACCES if it refuses them. A refresh token that the token server
 * gives in exchange for the secret takes its place in *credentials. */
int registry_auth_check(const struct registry_config *config, const char *host,
                        struct registry_credentials *credentials, struct error *err);

/* GET /v2/: *url is set to what was asked (the caller frees), with plain http where there is no TLS
 * and that will do. Whatever the answer's status is, 0. */
int registry_auth_ping(struct registry_http *http, char **url,
                       struct registry_http_response *response, struct error *err);

/* Gets a bearer token for the challenge and scopes (words with blanks between, or NULL); the caller
 * frees, with registry_secret_free(). offline: asks for a refresh token too, which takes the
 * secret's place in *credentials. NULL on error, and err->code is EACCES if it was refused. */
char *registry_auth_token(struct registry_http *http, const struct registry_challenge *challenge,
                          const char *scopes, bool offline,
                          struct registry_credentials *credentials, struct error *err);

/* What a registry says of an error, printable, on one line; the caller frees. */
char *registry_auth_describe(const struct registry_http_response *response);

#endif
