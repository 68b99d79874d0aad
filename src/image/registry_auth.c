#include "image/registry_auth.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/registry_helper.h"
#include "image/registry_http.h"

#define CLIENT_ID "hull"

/* {"errors": [{"message": …}]}, or the token server's "details". */
char *registry_auth_describe(const struct registry_http_response *response)
{
    json_auto_t *answer =
        response->body ? json_loadb(response->body, response->length, 0, NULL) : NULL;
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    const char *message = json_string_value(json_object_get(first, "message"));
    if (!message)
        message = json_string_value(json_object_get(answer, "details"));
    char *text = message ? memory_format("HTTP status %ld: %.200s", response->status, message)
                         : memory_format("HTTP status %ld", response->status);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return text;
}

static int refuse(const char *host, const struct registry_http_response *response,
                  struct error *err)
{
    scope_free char *text = registry_auth_describe(response);
    bool refused = response->status == 401 || response->status == 403;
    error_set(err, 0, "%s %s: %s", host,
              refused ? "refused the user name or password" : "answered unexpectedly", text);
    if (err && refused)
        err->code = EACCES;
    else if (err && (response->status == 429 || response->status >= 500))
        err->code = EAGAIN;
    return -1;
}

int registry_auth_ping(struct registry_http *http, char **url,
                       struct registry_http_response *response, struct error *err)
{
    const char *host = http->host;
    const char *server = strcmp(host, "docker.io") == 0 ? "registry-1.docker.io" : host;
    struct error failed = {0};
    *url = memory_format("https://%s/v2/", server);
    struct registry_http_request request = {.url = *url};
    if (registry_http_send(http, &request, response, &failed) == 0)
        return 0;
    const char *port = strrchr(server, ':');
    bool has_port = port && !strchr(port, ']');
    if (http->insecure && (failed.code == EPROTO || (failed.code == ECONNREFUSED && !has_port))) {
        registry_http_response_release(response);
        free(*url);
        *url = memory_format("http://%s/v2/", server);
        request.url = *url;
        return registry_http_send(http, &request, response, err);
    }
    if (failed.code == EPROTO)
        return error_set(err, 0,
                         "%s (put its authority's certificate into %s/%s/ca.crt, or mark "
                         "it as insecure in registries.json)",
                         failed.text, http->config->certificates[0], host);
    if (err)
        *err = failed;
    return -1;
}

/* "&NAME=VALUE", escaped, behind text; takes text over. */
static char *append_parameter(const struct registry_http *http, char *text, const char *name,
                              const char *value)
{
    if (!value)
        return text;
    char *escaped = curl_easy_escape(http->curl, value, (int)strlen(value));
    char *longer = memory_format("%s&%s=%s", text, name, escaped ? escaped : "");
    curl_free(escaped);
    registry_secret_free(text);
    return longer;
}

/* Secrets go only where nobody listens; a realm is what the registry says. A server of another host
 * inherits nothing of the registry's being insecure. */
static int check_realm(const struct registry_http *http, const char *realm, struct error *err)
{
    char authority[256];
    bool allowed =
        registry_http_authority(realm, authority) &&
        (strncasecmp(realm, "https://", 8) == 0 ||
         (strncasecmp(realm, "http://", 7) == 0 && registry_http_is_insecure(http, authority)));
    for (const char *at = realm; allowed && *at; at++)
        allowed = *at > ' ' && *at < 0x7f;
    if (!allowed)
        return error_set(err, 0, "%s sends us for a token to where passwords shouldn't go: %.200s",
                         http->host, realm);
    return 0;
}

/* docker's servers want each scope in a parameter of its own. */
static char *append_scopes(const struct registry_http *http, char *text, const char *scopes)
{
    scope_free char *copy = memory_copy_string(scopes ? scopes : "");
    char *rest = copy;
    for (char *scope; (scope = strsep(&rest, " "));)
        if (*scope)
            text = append_parameter(http, text, "scope", scope);
    return text;
}

static int ask_token_server(struct registry_http *http, const struct registry_challenge *challenge,
                            const char *scopes, bool offline,
                            const struct registry_credentials *credentials,
                            struct registry_http_response *response, struct error *err)
{
    const char *refresh = credentials->identity_token;
    scope_secret char *form = NULL;
    scope_secret char *url = memory_copy_string(challenge->realm);
    if (refresh) {
        form = memory_copy_string("grant_type=refresh_token&client_id=" CLIENT_ID);
        form = append_parameter(http, form, "service", challenge->service);
        if (scopes)
            form = append_parameter(http, form, "scope", scopes);
        form = append_parameter(http, form, "refresh_token", refresh);
    } else {
        registry_secret_free(url);
        url = memory_format("%s%cclient_id=" CLIENT_ID "%s", challenge->realm,
                            strchr(challenge->realm, '?') ? '&' : '?',
                            offline ? "&offline_token=true" : "");
        url = append_parameter(http, url, "service", challenge->service);
        url = append_scopes(http, url, scopes);
        url = append_parameter(http, url, "account", credentials->user);
    }
    struct registry_http_request request = {.url = url, .form = form};
    if (!refresh) {
        request.user = credentials->user;
        request.password = credentials->secret;
    }
    return registry_http_send(http, &request, response, err);
}

/* A token, as the server gave it, if it can stand in a header field; the caller frees. */
static char *copy_token(const json_t *answer, const char *key)
{
    const char *token = json_string_value(json_object_get(answer, key));
    if (!token || !*token)
        return NULL;
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at >= 0x7f)
            return NULL;
    return memory_copy_string(token);
}

char *registry_auth_token(struct registry_http *http, const struct registry_challenge *challenge,
                          const char *scopes, bool offline,
                          struct registry_credentials *credentials, struct error *err)
{
    const char *host = http->host;
    scope_registry_http_response struct registry_http_response response = {0};
    if (check_realm(http, challenge->realm, err) < 0 ||
        ask_token_server(http, challenge, scopes, offline, credentials, &response, err) < 0)
        return NULL;
    if (response.status != 200) {
        refuse(host, &response, err);
        return NULL;
    }
    json_auto_t *answer = json_loadb(response.body ? response.body : "", response.length, 0, NULL);
    char *token = copy_token(answer, "token");
    if (!token)
        token = copy_token(answer, "access_token");
    if (!token) {
        error_set(err, 0, "%s: its token server gave no token", host);
        return NULL;
    }
    char *refresh = offline ? copy_token(answer, "refresh_token") : NULL;
    if (refresh) {
        registry_secret_free(credentials->identity_token);
        registry_secret_free(credentials->secret);
        credentials->identity_token = refresh;
        credentials->secret = NULL;
    }
    return token;
}

int registry_auth_check(const struct registry_config *config, const char *host,
                        struct registry_credentials *credentials, struct error *err)
{
    scope_registry_http struct registry_http http = {0};
    scope_registry_http_response struct registry_http_response asked = {0}, answered = {0};
    scope_free char *url = NULL;
    scope_secret char *token = NULL;
    if (registry_http_open(&http, config, host, err) < 0 ||
        registry_auth_ping(&http, &url, &asked, err) < 0)
        return -1;
    if (asked.status == 200)
        return 0;
    if (asked.status != 401) {
        refuse(host, &asked, err);
        return error_wrap(err, "no registry at %s", url);
    }
    struct registry_http_request request = {.url = url};
    if (credentials->registry_token) {
        request.bearer = credentials->registry_token;
    } else if (asked.challenge.bearer && asked.challenge.realm) {
        token = registry_auth_token(&http, &asked.challenge, asked.challenge.scope, true,
                                    credentials, err);
        if (!token)
            return -1;
        request.bearer = token;
    } else if (asked.challenge.basic) {
        request.user = credentials->user ? credentials->user : "";
        request.password = credentials->secret;
    } else {
        return error_set(err, 0, "%s wants neither Basic nor Bearer authentication", host);
    }
    if (registry_http_send(&http, &request, &answered, err) < 0)
        return -1;
    return answered.status == 200 ? 0 : refuse(host, &answered, err);
}
