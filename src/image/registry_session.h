/* A conversation with one repository of one registry: where it is, who we are there, and what to do
 * when it is busy. Shared by threads, each of which has its own struct registry_http. */
#ifndef HULL_IMAGE_REGISTRY_SESSION_H
#define HULL_IMAGE_REGISTRY_SESSION_H

#include <pthread.h>

#include "base/warning.h"
#include "image/registry_credentials.h"
#include "image/registry_http.h"

struct registry_session {
    const struct registry_config *config;
    const char *actions; /* "pull" or "pull,push" */
    char host[256];      /* "docker.io", or a mirror */
    char *repository;    /* there: "library/busybox" */
    char *base;          /* "https://registry-1.docker.io" */
    const struct warnings *warnings;

    pthread_mutex_t mutex; /* of all below */
    struct registry_credentials credentials;
    bool credentials_known;
    bool basic;
    char *token;
    char *scopes;            /* that the token is for */
    char *realm, *service;   /* of the token server, once it is known */
    unsigned int generation; /* of basic and token */
};

/* Finds the registry (with http): whether it speaks TLS, and what it wants to know of us. host may
 * be "HOST/PREFIX" for a mirror that has others' repositories below a prefix. Close it whatever
 * this returns. */
int registry_session_open(struct registry_session *session, const struct registry_config *config,
                          const char *host, const char *repository, const char *actions,
                          const struct warnings *warnings, struct registry_http *http,
                          struct error *err);
void registry_session_close(struct registry_session *session);
#define scope_registry_session __attribute__((cleanup(registry_session_close)))

/* Another repository of which "pull" will be asked for: before a mount. */
void registry_session_add_repository(struct registry_session *session, const char *repository);

/* BASE/v2/REPOSITORY/ and a rest; the caller frees. */
char *registry_session_url(const struct registry_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sends a request once, as who we are: a challenge is answered. As registry_http_send(). */
int registry_session_send_once(struct registry_session *session, struct registry_http *http,
                               struct registry_http_request *request,
                               struct registry_http_response *response, struct error *err);

/* The same, again after a while if the registry is busy or can't be reached. Without a sink. */
int registry_session_send(struct registry_session *session, struct registry_http *http,
                          struct registry_http_request *request,
                          struct registry_http_response *response, struct error *err);

/* Where a list goes on that is answered in pages: *next is the URL of the page after that which
 * came from url, for the caller to free, or NULL if it was the last. -1 if that isn't at the
 * registry itself: who we are goes along with it. */
int registry_session_next_page(const struct registry_session *session, const char *url,
                               const struct registry_http_response *response, char **next,
                               struct error *err);

/* Attempts of one thing, with a wait between two that doubles and varies. */
struct registry_attempts {
    int failed;
};
/* Whether what came of a request may be better next time: status -1 with its error, or 0 with the
 * answer. */
bool registry_may_retry(int status, const struct registry_http_response *response,
                        const struct error *err);
/* Waits; false if there were enough attempts, or if the registry wants to be left alone for longer
 * than we wait, or it was cancelled. response may be NULL. */
bool registry_attempts_wait(struct registry_attempts *attempts, const struct registry_http *http,
                            const struct registry_http_response *response);

/* The error that an answer is which wasn't hoped for: what was asked for, its status, the text that
 * came with it. err->code is ENOENT for what isn't there, EACCES for what isn't ours. Returns -1.
 */
int registry_session_refuse(const struct registry_session *session, const char *what,
                            const struct registry_http_response *response, struct error *err);

#endif
