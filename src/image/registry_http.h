/* One HTTP request to a registry or its token server, over libcurl: with the certificates and the
 * patience that are configured, and an answer of bounded size. */
#ifndef HULL_IMAGE_REGISTRY_HTTP_H
#define HULL_IMAGE_REGISTRY_HTTP_H

#include <curl/curl.h>

#include "base/error.h"
#include "base/memory.h"
#include "image/registry_certificates.h"
#include "image/registry_config.h"
#include "image/registry_header.h"

struct registry_http {
    CURL *curl; /* keeps the connection between requests */
    const struct registry_config *config;
    bool insecure; /* plain http and unverifiable certificates will do */
    bool loopback;
    struct registry_certificates certificates;
};

struct registry_http_request {
    const char *url;
    const char *user, *password; /* Basic, if user is set */
    const char *bearer;          /* or a token */
    const char *form;            /* POST this; NULL: GET */
};

/* What came; NUL-terminated body. Headers of redirections aren't in it. */
struct registry_http_response {
    long status;
    char *body;
    size_t length;
    struct registry_challenge challenge;
    struct arena arena;
};

/* For the registry of an authority ("registry.example:5000"). config must outlive it. Close it
 * whatever this returns. */
int registry_http_open(struct registry_http *http, const struct registry_config *config,
                       const char *host, struct error *err);
void registry_http_close(struct registry_http *http);
#define scope_registry_http __attribute__((cleanup(registry_http_close)))

/* Sends a request. 0 if there was an answer, whatever its status; else -1, and err->code is EPROTO
 * if the other side doesn't speak TLS or has no acceptable certificate, ECONNREFUSED if it can't be
 * reached. Release the response whatever this returns. */
int registry_http_send(struct registry_http *http, const struct registry_http_request *request,
                       struct registry_http_response *response, struct error *err);
void registry_http_response_release(struct registry_http_response *response);
#define scope_registry_http_response __attribute__((cleanup(registry_http_response_release)))

#endif
