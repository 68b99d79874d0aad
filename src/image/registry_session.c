#include "image/registry_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/scope.h"
#include "image/registry_auth.h"
#include "image/registry_helper.h"

static char *own_scope(const struct registry_session *session)
{
    return memory_format("repository:%s:%s", session->repository, session->actions);
}

static void keep_challenge(struct registry_session *session,
                           const struct registry_challenge *challenge)
{
    if (challenge->bearer && challenge->realm) {
        free(session->realm);
        free(session->service);
        session->realm = memory_copy_string(challenge->realm);
        session->service = challenge->service ? memory_copy_string(challenge->service) : NULL;
    }
}

int registry_session_open(struct registry_session *session, const struct registry_config *config,
                          const char *host, const char *repository, const char *actions,
                          const struct warnings *warnings, struct registry_http *http,
                          struct error *err)
{
    scope_registry_http_response struct registry_http_response response = {0};
    scope_free char *url = NULL;
    const char *prefix = strchr(host, '/');
    *session = (struct registry_session){
        .config = config,
        .actions = actions,
        .warnings = warnings,
        .repository = prefix && prefix[1] ? memory_format("%s/%s", prefix + 1, repository)
                                          : memory_copy_string(repository),
    };
    pthread_mutex_init(&session->mutex, NULL);
    session->scopes = own_scope(session);
    snprintf(session->host, sizeof session->host, "%.*s", (int)strcspn(host, "/"), host);
    if (registry_http_open(http, config, session->host, err) < 0)
        return -1;
    struct registry_attempts attempts = {0};
    for (int status;; registry_http_response_release(&response), free(url), url = NULL) {
        struct error failed = {0};
        status = registry_auth_ping(http, &url, &response, &failed);
        /* Who isn't there at the beginning won't be there in a second. */
        if (registry_may_retry(status, &response, &failed) && failed.code != ECONNREFUSED &&
            registry_attempts_wait(&attempts, http, &response))
            continue;
        if (status == 0)
            break;
        if (err)
            *err = failed;
        return -1;
    }
    if (response.status != 200 && response.status != 401)
        return registry_session_refuse(session, "no registry", &response, err);
    keep_challenge(session, &response.challenge);
    char *end = strstr(url, "/v2/");
    session->base = memory_format("%.*s", (int)(end ? end - url : 0), url);
    return 0;
}

void registry_session_close(struct registry_session *session)
{
    if (!session->repository)
        return;
    registry_credentials_release(&session->credentials);
    registry_secret_free(session->token);
    free(session->scopes);
    free(session->realm);
    free(session->service);
    free(session->base);
    free(session->repository);
    pthread_mutex_destroy(&session->mutex);
    *session = (struct registry_session){0};
}

static bool has_scope(const char *scopes, const char *scope)
{
    size_t length = strlen(scope);
    for (const char *at = scopes; (at = strstr(at, scope)); at += length)
        if ((at == scopes || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static void add_scope(struct registry_session *session, const char *scope)
{
    if (has_scope(session->scopes, scope))
        return;
    char *longer = memory_format("%s %s", session->scopes, scope);
    free(session->scopes);
    session->scopes = longer;
}

void registry_session_add_repository(struct registry_session *session, const char *repository)
{
    scope_free char *scope = memory_format("repository:%s:pull", repository);
    pthread_mutex_lock(&session->mutex);
    if (!has_scope(session->scopes, scope)) {
        add_scope(session, scope);
        registry_secret_free(session->token); /* it isn't for that one */
        session->token = NULL;
        session->generation++;
    }
    pthread_mutex_unlock(&session->mutex);
}

char *registry_session_url(const struct registry_session *session, const char *format, ...)
{
    va_list args;
    scope_free char *rest = NULL;
    va_start(args, format);
    if (vasprintf(&rest, format, args) < 0)
        rest = memory_copy_string("");
    va_end(args);
    return memory_format("%s/v2/%s/%s", session->base, session->repository, rest);
}

/* ---- Who we are ---- */

static int find_credentials(struct registry_session *session, struct error *err)
{
    if (session->credentials_known)
        return 0;
    if (registry_credentials_find(session->host, &session->credentials, err) < 0)
        return -1;
    session->credentials_known = true;
    return 0;
}

/* Under the mutex. */
static int renew(struct registry_session *session, struct registry_http *http,
                 const struct registry_challenge *challenge, struct error *err)
{
    if (find_credentials(session, err) < 0)
        return -1;
    keep_challenge(session, challenge);
    registry_secret_free(session->token);
    session->token = NULL;
    session->generation++;
    if (session->credentials.registry_token) {
        session->token = memory_copy_string(session->credentials.registry_token);
        return 0;
    }
    if (challenge->bearer && challenge->realm) {
        scope_free char *wanted = memory_copy_string(challenge->scope ? challenge->scope : "");
        char *rest = wanted;
        for (char *scope; (scope = strsep(&rest, " "));)
            if (*scope)
                add_scope(session, scope);
        session->token = registry_auth_token(http, challenge, session->scopes, false,
                                             &session->credentials, err);
        return session->token ? 0 : -1;
    }
    if (challenge->basic && session->credentials.user) {
        session->basic = true;
        return 0;
    }
    error_set(err, EACCES, "%s wants a user and password (see 'hull login %s')", session->host,
              session->host);
    return -1;
}

/* Gets a token before it is asked for, where the ping said from whom: a round trip less. */
static int prepare(struct registry_session *session, struct registry_http *http, struct error *err)
{
    if (session->token || session->basic || !session->realm)
        return 0;
    scope_free char *realm = memory_copy_string(session->realm);
    scope_free char *service = session->service ? memory_copy_string(session->service) : NULL;
    const struct registry_challenge challenge = {
        .bearer = true, .realm = realm, .service = service};
    return renew(session, http, &challenge, err);
}

/* What a request carries, copied, so that another thread may renew it meanwhile. */
struct identity {
    char *token, *user, *password;
    unsigned int generation;
};

static int take_identity(struct registry_session *session, struct registry_http *http,
                         struct identity *identity, struct error *err)
{
    const struct registry_credentials *credentials = &session->credentials;
    pthread_mutex_lock(&session->mutex);
    int status = prepare(session, http, err);
    *identity = (struct identity){.generation = session->generation};
    if (session->token) {
        identity->token = memory_copy_string(session->token);
    } else if (session->basic) {
        identity->user = memory_copy_string(credentials->user ? credentials->user : "");
        identity->password = memory_copy_string(credentials->secret ? credentials->secret : "");
    }
    pthread_mutex_unlock(&session->mutex);
    return status;
}

static void drop_identity(struct identity *identity)
{
    registry_secret_free(identity->token);
    free(identity->user);
    registry_secret_free(identity->password);
}

/* After a 401: once for each request, unless another thread just did it. */
static int answer_challenge(struct registry_session *session, struct registry_http *http,
                            const struct registry_http_response *response, unsigned int generation,
                            struct error *err)
{
    pthread_mutex_lock(&session->mutex);
    int status =
        session->generation != generation ? 0 : renew(session, http, &response->challenge, err);
    pthread_mutex_unlock(&session->mutex);
    return status;
}

int registry_session_send_once(struct registry_session *session, struct registry_http *http,
                               struct registry_http_request *request,
                               struct registry_http_response *response, struct error *err)
{
    for (int turn = 0;; turn++) {
        struct identity identity;
        int status = take_identity(session, http, &identity, err);
        if (status == 0) {
            request->bearer = identity.token;
            request->user = identity.user;
            request->password = identity.password;
            status = registry_http_send(http, request, response, err);
            request->bearer = request->user = request->password = NULL;
        } else {
            *response = (struct registry_http_response){.content_length = -1, .retry_after = -1};
        }
        drop_identity(&identity);
        if (status < 0 || response->status != 401 || turn == 2)
            return status;
        /* A token that was just made and is refused isn't going to be better. */
        bool again = turn == 0 || (response->challenge.bearer && turn == 1);
        if (!again)
            return 0;
        if (answer_challenge(session, http, response, identity.generation, err) < 0)
            return -1;
        registry_http_response_release(response);
    }
}

/* ---- Patience ---- */

#define RETRY_AFTER_MAX 60 /* seconds that we wait because a registry says so */
#define DELAY_MAX 30.0

bool registry_may_retry(int status, const struct registry_http_response *response,
                        const struct error *err)
{
    if (status < 0)
        return err->code == ECONNRESET || err->code == ETIMEDOUT || err->code == ECONNREFUSED ||
               err->code == EAGAIN; /* that of a token server */
    switch (response->status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}

bool registry_attempts_wait(struct registry_attempts *attempts, const struct registry_http *http,
                            const struct registry_http_response *response)
{
    const struct registry_config *config = http->config;
    double delay = config->delay_seconds;
    if (++attempts->failed >= config->attempts)
        return false;
    for (int i = 1; i < attempts->failed && delay < DELAY_MAX; i++)
        delay *= 2;
    /* So that many clients that were turned away together don't come back together. */
    uint16_t chance = 0x8000;
    getrandom(&chance, sizeof chance, GRND_NONBLOCK);
    delay *= 0.75 + 0.5 * chance / 0xffff;
    if (response && response->retry_after >= 0) {
        if (response->retry_after > RETRY_AFTER_MAX)
            return false;
        if ((double)response->retry_after > delay)
            delay = (double)response->retry_after;
    }
    return registry_cancel_sleep(http->cancel, delay);
}

int registry_session_send(struct registry_session *session, struct registry_http *http,
                          struct registry_http_request *request,
                          struct registry_http_response *response, struct error *err)
{
    struct registry_attempts attempts = {0};
    for (;;) {
        struct error failed = {0};
        int status = registry_session_send_once(session, http, request, response, &failed);
        if (!registry_may_retry(status, response, &failed) ||
            !registry_attempts_wait(&attempts, http, response)) {
            if (status < 0 && err)
                *err = failed;
            return status;
        }
        registry_http_response_release(response);
    }
}

int registry_session_next_page(const struct registry_session *session, const char *url,
                               const struct registry_http_response *response, char **next,
                               struct error *err)
{
    struct arena arena = {0};
    const char *link = response->link ? registry_parse_next_link(response->link, &arena) : NULL;
    size_t length = strlen(session->base);
    *next = link ? registry_http_resolve(url, link) : NULL;
    arena_release(&arena);
    /* With the slash: http://registry:5000 is also how http://registry:50001 begins. */
    if (!*next || (strncmp(*next, session->base, length) == 0 && (*next)[length] == '/'))
        return 0;
    free(*next);
    *next = NULL;
    return error_set(err, 0, "%s sends us elsewhere for the rest", session->host);
}

int registry_session_refuse(const struct registry_session *session, const char *what,
                            const struct registry_http_response *response, struct error *err)
{
    scope_free char *text = registry_auth_describe(response);
    int code = 0;
    if (response->status == 404) {
        code = ENOENT;
        error_set(err, 0, "%s: not found at %s: %s", what, session->host, text);
    } else if (response->status == 401 || response->status == 403) {
        code = EACCES;
        error_set(err, 0, "%s: %s denies it: %s (it may not exist, or need 'hull login %s')", what,
                  session->host, text, session->host);
    } else if (response->status == 429) {
        error_set(err, 0, "%s: %s has had too many requests of ours: %s", what, session->host,
                  text);
    } else {
        code = response->status >= 500 ? EAGAIN : 0;
        error_set(err, 0, "%s: %s answered unexpectedly: %s", what, session->host, text);
    }
    size_t used = err ? strlen(err->text) : 0;
    if (err && response->retry_after > 0)
        snprintf(err->text + used, sizeof err->text - used, " (try again in %ld s)",
                 response->retry_after);
    if (err)
        err->code = code;
    return -1;
}
