#include "image/registry_credentials.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/registry_credentials_file.h"
#include "image/registry_helper.h"

#define DOCKER_IO_KEY "https://index.docker.io/v1/" /* under which docker keeps docker.io's */
#define TOKEN_USER "<token>" /* a helper's user whose secret is an identity token */
#define FIELD_LIMIT (1 << 20)

void registry_credentials_release(struct registry_credentials *credentials)
{
    free(credentials->user);
    registry_secret_free(credentials->secret);
    registry_secret_free(credentials->identity_token);
    registry_secret_free(credentials->registry_token);
    *credentials = (struct registry_credentials){0};
}

static bool is_docker_io(const char *host)
{
    return strcmp(host, "docker.io") == 0 || strcmp(host, "index.docker.io") == 0;
}

static const char *key_of(const char *host)
{
    return is_docker_io(host) ? DOCKER_IO_KEY : host;
}

/* Whether a key of auths or credHelpers means this registry: the host alone, or as old clients
 * wrote it, a URL of the API. Other paths are podman's, for one repository. */
static bool key_means(const char *key, const char *host)
{
    static const char *const paths[] = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};
    if (strncasecmp(key, "https://", 8) == 0)
        key += 8;
    else if (strncasecmp(key, "http://", 7) == 0)
        key += 7;
    size_t length = strcspn(key, "/");
    bool same = strlen(host) == length && strncasecmp(key, host, length) == 0;
    if (!same && is_docker_io(host))
        same = (length == 9 && strncasecmp(key, "docker.io", length) == 0) ||
               (length == 15 && strncasecmp(key, "index.docker.io", length) == 0);
    for (size_t i = 0; same && i < sizeof paths / sizeof *paths; i++)
        if (strcmp(key + length, paths[i]) == 0)
            return true;
    return false;
}

/* The key of an object that means this registry, the exact one if there are several; or NULL. */
static const char *find_key(const json_t *object, const char *host)
{
    const char *key, *found = NULL;
    json_t *value;
    if (json_object_get(object, key_of(host)))
        return key_of(host);
    json_object_foreach((json_t *)object, key, value)
    {
        if (!found && key_means(key, host))
            found = key;
    }
    return found;
}

/* The helper that keeps this registry's credentials, or NULL for the file itself. */
static const char *find_helper(const json_t *config, const char *host)
{
    const json_t *helpers = json_object_get(config, "credHelpers");
    const char *key = find_key(helpers, host);
    const char *name =
        json_string_value(json_object_get(key ? helpers : config, key ? key : "credsStore"));
    return name && *name ? name : NULL;
}

static char *copy_field(const json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));
    return text && *text ? memory_copy_string(text) : NULL;
}

/* "auth" is the base64 of USER:SECRET. */
static int decode_auth(const char *auth, struct registry_credentials *credentials)
{
    size_t length = strlen(auth);
    if (length == 0 || length % 4 != 0 || length > FIELD_LIMIT)
        return -1;
    scope_secret char *text = memory_allocate(length + 1, 1);
    if (EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)auth, (int)length) < 0)
        return -1;
    char *colon = strchr(text, ':');
    if (!colon)
        return -1;
    *colon = '\0';
    credentials->user = memory_copy_string(text);
    credentials->secret = memory_copy_string(colon + 1);
    *colon = ':'; /* so that all of it is overwritten */
    return 0;
}

static int read_entry(const json_t *entry, struct registry_credentials *credentials)
{
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    if (auth && *auth) {
        if (decode_auth(auth, credentials) < 0)
            return -1;
    } else {
        credentials->user = copy_field(entry, "username");
        credentials->secret = copy_field(entry, "password");
    }
    credentials->identity_token = copy_field(entry, "identitytoken");
    credentials->registry_token = copy_field(entry, "registrytoken");
    return 0;
}

static int read_answer(const char *helper, const char *answer,
                       struct registry_credentials *credentials, struct error *err)
{
    json_auto_t *object = json_loads(answer, 0, NULL);
    char *user = copy_field(object, "Username"), *secret = copy_field(object, "Secret");
    if (!user || !secret) {
        free(user);
        registry_secret_free(secret);
        return error_set(err, 0, "docker-credential-%s answered neither credentials nor an error",
                         helper);
    }
    if (strcmp(user, TOKEN_USER) == 0) {
        credentials->identity_token = secret;
        free(user);
    } else {
        credentials->user = user;
        credentials->secret = secret;
    }
    return 0;
}

/* 1 if the helper had some, 0 if not. */
static int ask_helper(const char *helper, const char *host,
                      struct registry_credentials *credentials, struct error *err)
{
    struct error unanswered = {0};
    scope_secret char *answer =
        registry_helper_run(helper, "get", key_of(host), REGISTRY_HELPER_SECONDS, &unanswered);
    if (answer)
        return read_answer(helper, answer, credentials, err) < 0 ? -1 : 1;
    if (unanswered.code == ENODATA)
        return 0;
    return error_set(err, 0, "%s", unanswered.text);
}

int registry_credentials_find(const char *host, struct registry_credentials *credentials,
                              struct error *err)
{
    *credentials = (struct registry_credentials){0};
    scope_free char *path = registry_credentials_path(err);
    json_auto_t *config = path ? registry_credentials_read(path, err) : NULL;
    if (!config)
        return -1;
    const char *helper = find_helper(config, host);
    int status = helper ? ask_helper(helper, host, credentials, err) : 0;
    if (status != 0)
        return status < 0 ? -1 : 0;
    const json_t *auths = json_object_get(config, "auths");
    const char *key = find_key(auths, host);
    if (key && read_entry(json_object_get(auths, key), credentials) < 0)
        return error_set(err, 0,
                         "%s: the 'auth' of '%s' isn't the base64 of USER:PASSWORD (log in "
                         "again)",
                         path, key);
    return 0;
}

static json_t *make_entry(const struct registry_credentials *credentials)
{
    const char *secret = credentials->secret ? credentials->secret : "";
    const char *user = credentials->user ? credentials->user : "";
    scope_secret char *pair = memory_format("%s:%s", user, secret);
    size_t length = strlen(pair);
    scope_secret char *auth = memory_allocate(length / 3 * 4 + 5, 1);
    EVP_EncodeBlock((unsigned char *)auth, (const unsigned char *)pair, (int)length);
    json_t *entry = json_pack("{s:s}", "auth", auth);
    if (entry && credentials->identity_token)
        json_object_set_new(entry, "identitytoken", json_string(credentials->identity_token));
    return entry;
}

static int store_in_helper(const char *helper, const char *host,
                           const struct registry_credentials *credentials, struct error *err)
{
    bool token = credentials->identity_token != NULL;
    json_auto_t *input = json_pack("{s:s, s:s, s:s}", "ServerURL", key_of(host), "Username",
                                   token ? TOKEN_USER : credentials->user, "Secret",
                                   token ? credentials->identity_token : credentials->secret);
    scope_secret char *text = input ? json_dumps(input, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, 0, "the credentials for %s are no UTF-8", host);
    scope_secret char *answer =
        registry_helper_run(helper, "store", text, REGISTRY_HELPER_SECONDS, err);
    return answer ? 0 : -1;
}

/* The object below a key; made if it isn't there. NULL if something else is. */
static json_t *get_object(json_t *config, const char *key)
{
    json_t *object = json_object_get(config, key);
    if (!object || json_is_null(object)) {
        object = json_object();
        json_object_set_new(config, key, object);
    }
    return json_is_object(object) ? object : NULL;
}

/* Takes every entry out that means this registry; whether there was one. */
static bool drop_entries(json_t *auths, const char *host)
{
    const char *key;
    json_t *value;
    void *next;
    bool dropped = false;
    json_object_foreach_safe(auths, next, key, value)
    {
        if (key_means(key, host)) {
            json_object_del(auths, key);
            dropped = true;
        }
    }
    return dropped;
}

static int check_storable(const char *host, const struct registry_credentials *credentials,
                          struct error *err)
{
    if (!credentials->identity_token && (!credentials->user || !credentials->secret))
        return error_set(err, 0, "there is no user and password to keep for %s", host);
    if (credentials->user && strchr(credentials->user, ':'))
        return error_set(err, 0, "a user name can't have a colon: '%s'", credentials->user);
    if ((credentials->user && strlen(credentials->user) > FIELD_LIMIT / 4) ||
        (credentials->secret && strlen(credentials->secret) > FIELD_LIMIT / 4))
        return error_set(err, 0, "the credentials for %s are too long", host);
    return 0;
}

int registry_credentials_store(const char *host, const struct registry_credentials *credentials,
                               char **plain_path, struct error *err)
{
    *plain_path = NULL;
    if (check_storable(host, credentials, err) < 0)
        return -1;
    scope_free char *path = registry_credentials_path(err);
    scope_close int lock = path ? registry_credentials_lock(path, err) : -1;
    json_auto_t *config = lock >= 0 ? registry_credentials_read(path, err) : NULL;
    if (!config)
        return -1;
    json_t *auths = get_object(config, "auths");
    if (!auths)
        return error_set(err, 0, "%s: 'auths' must be an object", path);
    const char *helper = find_helper(config, host);
    if (helper && store_in_helper(helper, host, credentials, err) < 0)
        return -1;
    /* Docker, too, notes with an empty entry that a helper has something. */
    json_t *entry = helper ? json_object() : make_entry(credentials);
    drop_entries(auths, host);
    if (json_object_set_new(auths, key_of(host), entry) < 0)
        return error_set(err, 0, "the credentials for %s are no UTF-8", host);
    if (registry_credentials_write(path, config, err) < 0)
        return -1;
    if (!helper)
        *plain_path = scope_take_pointer(path);
    return 0;
}

/* 1 if the helper had some. */
static int erase_in_helper(const char *helper, const char *host, struct error *err)
{
    struct error failed = {0};
    scope_registry_credentials struct registry_credentials kept = {0};
    int found = ask_helper(helper, host, &kept, err);
    if (found <= 0)
        return found;
    scope_secret char *answer =
        registry_helper_run(helper, "erase", key_of(host), REGISTRY_HELPER_SECONDS, &failed);
    if (!answer && failed.code != ENODATA)
        return error_set(err, 0, "%s", failed.text);
    return 1;
}

int registry_credentials_erase(const char *host, struct error *err)
{
    scope_free char *path = registry_credentials_path(err);
    json_auto_t *seen = path ? registry_credentials_read(path, err) : NULL;
    if (!seen)
        return -1;
    if (json_object_size(seen) == 0) /* nothing to take out, so no directory to make */
        return 0;
    scope_close int lock = registry_credentials_lock(path, err);
    json_auto_t *config = lock >= 0 ? registry_credentials_read(path, err) : NULL;
    if (!config)
        return -1;
    const char *helper = find_helper(config, host);
    int erased = helper ? erase_in_helper(helper, host, err) : 0;
    if (erased < 0)
        return -1;
    if (!drop_entries(json_object_get(config, "auths"), host))
        return erased;
    return registry_credentials_write(path, config, err) < 0 ? -1 : 1;
}
