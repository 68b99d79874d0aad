#include "image/registry_http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"

#define BODY_LIMIT (4 << 20) /* of tokens, manifests, lists and error texts */
#define HEADER_LIMIT 16384   /* of one field */
#define REDIRECTIONS 5L

int registry_http_open(struct registry_http *http, const struct registry_config *config,
                       const char *host, struct error *err)
{
    const struct registry_config_host *known = registry_config_find(config, host);
    *http = (struct registry_http){.config = config, .loopback = registry_host_is_loopback(host)};
    http->insecure = http->loopback || (known && known->insecure);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return error_set(err, 0, "libcurl can't be initialized");
    http->curl = curl_easy_init();
    if (!http->curl)
        return error_set(err, 0, "libcurl can't be initialized");
    return registry_certificates_find(config, host, &http->certificates, err);
}

void registry_http_close(struct registry_http *http)
{
    if (http->curl)
        curl_easy_cleanup(http->curl);
    registry_certificates_release(&http->certificates);
    http->curl = NULL;
}

void registry_http_response_release(struct registry_http_response *response)
{
    if (response->body)
        explicit_bzero(response->body, response->length); /* a token, perhaps */
    free(response->body);
    arena_release(&response->arena);
    *response = (struct registry_http_response){0};
}

static size_t keep_body(char *bytes, size_t size, size_t count, void *user)
{
    struct registry_http_response *response = user;
    size_t length = size * count, used = response->length;
    if (length > BODY_LIMIT - used)
        return 0; /* libcurl then says that it can't write */
    response->body = memory_resize(response->body, used + length + 1, 1);
    memcpy(response->body + used, bytes, length);
    response->length = used + length;
    response->body[response->length] = '\0';
    return length;
}

static size_t keep_header(char *bytes, size_t size, size_t count, void *user)
{
    static const char challenge[] = "WWW-Authenticate:";
    struct registry_http_response *response = user;
    size_t length = size * count, name = sizeof challenge - 1;
    if (length > 5 && strncasecmp(bytes, "HTTP/", 5) == 0) {
        /* Another answer begins: the last of several redirections counts. */
        response->challenge = (struct registry_challenge){0};
        arena_release(&response->arena);
    } else if (length > name && length < HEADER_LIMIT && strncasecmp(bytes, challenge, name) == 0) {
        char *field = arena_allocate(&response->arena, length + 1, 1);
        memcpy(field, bytes + name, length - name);
        field[strcspn(field, "\r\n")] = '\0';
        registry_parse_challenge(field, &response->arena, &response->challenge);
    }
    return length;
}

static void set_security(const struct registry_http *http)
{
    CURL *curl = http->curl;
    const struct registry_certificates *certificates = &http->certificates;
    const char *protocols = http->insecure ? "http,https" : "https";
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, http->insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, http->insecure ? 0L : 2L);
    if (certificates->authorities) {
        /* Takes the place of the system's file; the system's directory stays. */
        struct curl_blob blob = {certificates->authorities, certificates->length, CURL_BLOB_COPY};
        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (certificates->certificate) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, certificates->certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, certificates->key);
    }
    if (http->loopback)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static void set_request(const struct registry_http *http,
                        const struct registry_http_request *request,
                        struct registry_http_response *response)
{
    CURL *curl = http->curl;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "hull/" HULL_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, http->config->connect_seconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, http->config->stall_seconds);
    /* A form holds a refresh token, which a redirection would hand to anybody. */
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->form ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTIONS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, response);
    if (request->form)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->form);
    /* libcurl keeps both from other hosts that it is redirected to. */
    if (request->bearer) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request->bearer);
    } else if (request->user) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
}

static int code_of(CURLcode result)
{
    switch (result) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return EPROTO;
    case CURLE_COULDNT_CONNECT:
        return ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    default:
        return 0;
    }
}

int registry_http_send(struct registry_http *http, const struct registry_http_request *request,
                       struct registry_http_response *response, struct error *err)
{
    char reason[CURL_ERROR_SIZE] = "";
    *response = (struct registry_http_response){0};
    curl_easy_reset(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, reason);
    set_request(http, request, response);
    set_security(http);
    CURLcode result = curl_easy_perform(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
    if (result == CURLE_OK) {
        curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &response->status);
        return 0;
    }
    if (result == CURLE_WRITE_ERROR)
        snprintf(reason, sizeof reason, "the answer is longer than %d bytes", BODY_LIMIT);
    /* Without the query, which may say more than a terminal should show. */
    error_set(err, 0, "%.*s: %s", (int)strcspn(request->url, "?"), request->url,
              *reason ? reason : curl_easy_strerror(result));
    if (err)
        err->code = code_of(result);
    return -1;
}
