/* One HTTP request to a registry, its token server, or where it redirects to, over libcurl: with
 * the certificates and the patience that are configured, an answer of bounded size, and no trust
 * beyond the server that was named. Each thread has its own struct registry_http, which keeps the
 * connections between requests. */
#ifndef HULL_IMAGE_REGISTRY_HTTP_H
#define HULL_IMAGE_REGISTRY_HTTP_H

#include <curl/curl.h>

#include "base/error.h"
#include "base/memory.h"
#include "image/registry_cancel.h"
#include "image/registry_certificates.h"
#include "image/registry_config.h"
#include "image/registry_header.h"

struct registry_http_response;
struct registry_http {
    CURL *curl;
    const struct registry_config *config;
    char host[256];      /* the registry's authority */
    bool insecure;       /* there plain http and unverifiable certificates will do */
    char certified[256]; /* the authority that certificates are of */
    struct registry_certificates certificates;
    struct registry_cancel *cancel; /* ends requests early; may be NULL */
};

/* Where a long answer goes. */
struct registry_http_sink {
    /* An answer with one of the statuses 200 to 299 has begun. */
    int (*begin)(struct registry_http_sink *sink, const struct registry_http_response *response,
                 struct error *err);
    int (*write)(struct registry_http_sink *sink, const void *bytes, size_t count,
                 struct error *err);
};

struct registry_http_request {
    const char *method; /* NULL: GET, or POST of a form */
    const char *url;
    const char *user, *password;                       /* Basic, if user is set */
    const char *bearer;                                /* or a token */
    const char *form;                                  /* POST this */
    const char *accept, *content_type, *content_range; /* fields; NULL: none */
    int64_t range_from; /* ask for what is from here on; 0: for all */
    const void *body;   /* send these bytes … */
    int file;           /* … or, if has_file, these of a file */
    bool has_body, has_file;
    int64_t offset, length;                     /* of the file's part, or (length) of body */
    void (*sent)(void *context, int64_t bytes); /* how much of it went; may be NULL */
    void *context;
    struct registry_http_sink *sink; /* NULL: the answer is kept in memory */
};

/* What came; NUL-terminated body. Headers of redirections aren't in it. */
struct registry_http_response {
    long status;
    char *body;
    size_t length;
    int64_t content_length;                                                /* -1: not said */
    const char *content_type, *digest, *location, *range, *link, *subject; /* fields, or NULL */
    bool has_content_range;
    int64_t first, last, total; /* of Content-Range */
    long retry_after;           /* seconds; -1: not said */
    int64_t chunk_least;        /* OCI-Chunk-Min-Length, or 0 */
    char *url;                  /* what answered */
    struct registry_challenge challenge;
    struct arena arena;
};

/* For the registry of an authority ("registry.example:5000"). config must outlive it. Close it
 * whatever this returns. */
int registry_http_open(struct registry_http *http, const struct registry_config *config,
                       const char *host, struct error *err);
void registry_http_close(struct registry_http *http);
#define scope_registry_http __attribute__((cleanup(registry_http_close)))

/* Sends a request, and follows redirections (those of GET and HEAD) without taking credentials to
 * another server. 0 if there was an answer, whatever its status; else -1, and err->code is EPROTO
 * if the other side doesn't speak TLS or has no acceptable certificate, ECONNREFUSED if it can't be
 * reached, ECONNRESET or ETIMEDOUT if the connection broke or nothing came any more, ECANCELED.
 * A failure of the sink is passed on with its own code. Release the response whatever this returns.
 */
int registry_http_send(struct registry_http *http, const struct registry_http_request *request,
                       struct registry_http_response *response, struct error *err);
void registry_http_response_release(struct registry_http_response *response);
#define scope_registry_http_response __attribute__((cleanup(registry_http_response_release)))

/* The authority of a URL ("[::1]:5000"), in authority; false if it has none or an overlong one. */
bool registry_http_authority(const char *url, char authority[256]);
/* Whether plain http and unverifiable certificates will do at an authority: on loopback, where it
 * is configured, and at another port of a registry's own host that is so. */
bool registry_http_is_insecure(const struct registry_http *http, const char *authority);
/* A reference of a server (Location, Link) made absolute; the caller frees. NULL if it isn't one of
 * http or https. */
char *registry_http_resolve(const char *base, const char *reference);

#endif
