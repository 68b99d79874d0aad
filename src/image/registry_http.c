#include "image/registry_http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "image/registry_transfer.h"

#define REDIRECTIONS 5

int registry_http_open(struct registry_http *http, const struct registry_config *config,
                       const char *host, struct error *err)
{
    *http = (struct registry_http){.config = config};
    if (strlen(host) >= sizeof http->host)
        return error_set(err, 0, "the registry's name is too long");
    strcpy(http->host, host);
    http->insecure = registry_http_is_insecure(http, host);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return error_set(err, 0, "libcurl can't be initialized");
    http->curl = curl_easy_init();
    return http->curl ? 0 : error_set(err, 0, "libcurl can't be initialized");
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
    free(response->url);
    arena_release(&response->arena);
    *response = (struct registry_http_response){0};
}

bool registry_http_authority(const char *url, char authority[256])
{
    const char *from = strstr(url, "://");
    if (!from)
        return false;
    from += 3;
    size_t length = strcspn(from, "/?#");
    const char *at = memchr(from, '@', length);
    if (at || length == 0 || length >= 256)
        return false;
    memcpy(authority, from, length);
    authority[length] = '\0';
    return true;
}

static size_t name_length(const char *authority)
{
    const char *end = *authority == '[' ? strchr(authority, ']') : strchr(authority, ':');
    return end ? (size_t)(end - authority) : strlen(authority);
}

bool registry_http_is_insecure(const struct registry_http *http, const char *authority)
{
    const struct registry_config_host *known = registry_config_find(http->config, authority);
    if (known && known->insecure)
        return true;
    /* Another machine's registry has no business on this one's loopback. */
    if (registry_host_is_loopback(authority) && registry_host_is_loopback(http->host))
        return true;
    size_t length = name_length(authority);
    return http->insecure && length == name_length(http->host) &&
           strncasecmp(authority, http->host, length) == 0;
}

char *registry_http_resolve(const char *base, const char *reference)
{
    CURLU *url = curl_url();
    char *text = NULL, *result = NULL;
    if (url && curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_URL, reference, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK &&
        (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0))
        result = memory_copy_string(text);
    curl_free(text);
    curl_url_cleanup(url);
    return result;
}

/* Certificates of the authority that is spoken to. Whom the registry sends us to is verified with
 * the registry's authorities unless it has its own, but isn't shown who we are. */
static int find_certificates(struct registry_http *http, const char *authority, struct error *err)
{
    struct registry_certificates *certificates = &http->certificates;
    if (strcmp(http->certified, authority) == 0)
        return 0;
    registry_certificates_release(certificates);
    *http->certified = '\0';
    if (registry_certificates_find(http->config, authority, certificates, err) < 0)
        return -1;
    if (!certificates->authorities && strcmp(authority, http->host) != 0) {
        struct registry_certificates registry;
        int status = registry_certificates_find(http->config, http->host, &registry, err);
        certificates->authorities = scope_take_pointer(registry.authorities);
        certificates->length = registry.length;
        registry_certificates_release(&registry);
        if (status < 0)
            return -1;
    }
    strcpy(http->certified, authority);
    return 0;
}

static bool is_redirection(const struct registry_http_request *request,
                           const struct registry_http_response *response)
{
    bool reads = !request->method || strcmp(request->method, "HEAD") == 0;
    long status = response->status;
    return reads && !request->form && response->location &&
           (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

/* From TLS to plain http only where that would have done at once. */
static int check_redirection(const struct registry_http *http, const char *from, const char *to,
                             struct error *err)
{
    char authority[256];
    bool plain = strncasecmp(to, "http://", 7) == 0,
         was_plain = strncasecmp(from, "http://", 7) == 0;
    if (!registry_http_authority(to, authority) ||
        (plain && !was_plain && !registry_http_is_insecure(http, authority)))
        return error_set(err, 0, "%s leads us from an encrypted connection to %.*s", http->host,
                         (int)strcspn(to, "?"), to);
    return 0;
}

/* Whether both are served by the same: scheme, host and port. */
static bool is_same_origin(const char *one, const char *other)
{
    size_t length = strcspn(one, "/") + 2; /* "https://" */
    length += strcspn(one + length, "/?#");
    return strncasecmp(one, other, length) == 0 && (!other[length] || strchr("/?#", other[length]));
}

int registry_http_send(struct registry_http *http, const struct registry_http_request *asked,
                       struct registry_http_response *response, struct error *err)
{
    struct registry_http_request request = *asked;
    scope_free char *url = memory_copy_string(request.url);
    *response = (struct registry_http_response){.content_length = -1, .retry_after = -1};
    for (int turn = 0;; turn++) {
        char authority[256];
        if (!registry_http_authority(url, authority))
            return error_set(err, 0, "%.200s is no address of a server", url);
        if (find_certificates(http, authority, err) < 0 ||
            registry_transfer(http, &request, url, response, err) < 0)
            return -1;
        if (!is_redirection(&request, response)) {
            response->url = scope_take_pointer(url);
            return 0;
        }
        scope_free char *next = registry_http_resolve(url, response->location);
        if (!next || turn == REDIRECTIONS)
            return error_set(err, 0, "%.*s: %s", (int)strcspn(url, "?"), url,
                             next ? "it redirects again and again" : "it redirects to nowhere");
        if (check_redirection(http, url, next, err) < 0)
            return -1;
        if (!is_same_origin(url, next))
            request.user = request.password = request.bearer = NULL;
        free(url);
        url = scope_take_pointer(next);
        registry_http_response_release(response);
        response->content_length = response->retry_after = -1;
    }
}
