#include "image/registry_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/scope.h"

#define DEFAULT_PATH "/etc/hull/registries.json"
#define SIZE_LIMIT (1 << 20)

static int fail(const struct registry_config *config, struct error *err, const char *key,
                const char *expected)
{
    return error_set(err, 0, "%s: '%s' must be %s", config->path, key, expected);
}

static int read_strings(struct registry_config *config, const char *key, const json_t *value,
                        const char ***strings, size_t *count, struct error *err)
{
    if (!json_is_array(value))
        return fail(config, err, key, "an array of strings");
    const char **list = arena_allocate(&config->arena, json_array_size(value) + 1, sizeof *list);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (!text || !*text)
            return fail(config, err, key, "an array of strings that aren't empty");
        list[i] = arena_copy_string(&config->arena, text);
    }
    *strings = list;
    *count = json_array_size(value);
    return 0;
}

static int read_number(struct registry_config *config, const char *key, const json_t *value,
                       double least, double most, double *number, struct error *err)
{
    *number = json_number_value(value);
    if (!json_is_number(value) || !(*number >= least && *number <= most)) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number from %g to %g", least, most);
        return fail(config, err, key, expected);
    }
    return 0;
}

static int read_host(struct registry_config *config, struct registry_config_host *host,
                     const json_t *value, struct error *err)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return fail(config, err, host->name, "an object");
    json_object_foreach((json_t *)value, key, item)
    {
        if (strcmp(key, "insecure") == 0 && json_is_boolean(item))
            host->insecure = json_is_true(item);
        else if (strcmp(key, "mirrors") == 0) {
            if (read_strings(config, key, item, &host->mirrors, &host->mirror_count, err) < 0)
                return -1;
        } else {
            return error_set(err, 0,
                             "%s: registry '%s': there is no key '%s' with such a value (insecure "
                             "takes a boolean, mirrors an array)",
                             config->path, host->name, key);
        }
    }
    return 0;
}

static int read_hosts(struct registry_config *config, const json_t *value, struct error *err)
{
    const char *name;
    json_t *item;
    if (!json_is_object(value))
        return fail(config, err, "registries", "an object");
    config->hosts =
        arena_allocate(&config->arena, json_object_size(value) + 1, sizeof *config->hosts);
    json_object_foreach((json_t *)value, name, item)
    {
        struct registry_config_host *host = &config->hosts[config->host_count++];
        host->name = arena_copy_string(&config->arena, name);
        if (read_host(config, host, item, err) < 0)
            return -1;
    }
    return 0;
}

static int read_key(struct registry_config *config, const char *key, const json_t *value,
                    struct error *err)
{
    double number = 0;
    int status;
    if (strcmp(key, "search") == 0)
        return read_strings(config, key, value, &config->search, &config->search_count, err);
    if (strcmp(key, "certificates") == 0)
        return read_strings(config, key, value, &config->certificates, &config->certificate_count,
                            err);
    if (strcmp(key, "registries") == 0)
        return read_hosts(config, value, err);
    if (strcmp(key, "attempts") == 0) {
        status = read_number(config, key, value, 1, 100, &number, err);
        config->attempts = (int)number;
    } else if (strcmp(key, "delaySeconds") == 0) {
        status = read_number(config, key, value, 0, 60, &number, err);
        config->delay_seconds = number;
    } else if (strcmp(key, "connectSeconds") == 0) {
        status = read_number(config, key, value, 1, 3600, &number, err);
        config->connect_seconds = (long)number;
    } else if (strcmp(key, "stallSeconds") == 0) {
        status = read_number(config, key, value, 1, 3600, &number, err);
        config->stall_seconds = (long)number;
    } else if (strcmp(key, "parallel") == 0) {
        status = read_number(config, key, value, 1, 32, &number, err);
        config->parallel = (int)number;
    } else {
        status =
            error_set(err, 0, "%s: there is no key '%s' (see docs/images.md)", config->path, key);
    }
    return status;
}

int registry_config_load(struct registry_config *config, struct error *err)
{
    static const char *search[] = {"docker.io", NULL};
    static const char *certificates[] = {"/etc/hull/certs.d", "/etc/docker/certs.d"};
    *config = (struct registry_config){
        .search = search,
        .search_count = 1,
        .certificates = certificates,
        .certificate_count = 2,
        .attempts = 5,
        .delay_seconds = 0.5,
        .connect_seconds = 30,
        .stall_seconds = 30,
        .parallel = 3,
    };
    const char *given = getenv("HULL_REGISTRIES");
    config->path = given && *given ? given : DEFAULT_PATH;
    size_t length;
    struct error unread = {0};
    scope_free char *text = file_read_all(AT_FDCWD, config->path, SIZE_LIMIT, &length, &unread);
    if (!text && unread.code == ENOENT && config->path != given)
        return 0;
    if (!text)
        return error_set(err, 0, "%s", unread.text);
    json_error_t fault;
    json_t *document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(document)) {
        json_decref(document);
        return error_set(err, 0, "%s: line %d: %s", config->path, document ? 1 : fault.line,
                         document ? "not an object" : fault.text);
    }
    const char *key;
    json_t *value;
    int status = 0;
    json_object_foreach(document, key, value)
    {
        status = read_key(config, key, value, err);
        if (status < 0)
            break;
    }
    json_decref(document);
    return status;
}

void registry_config_release(struct registry_config *config)
{
    arena_release(&config->arena);
}

const struct registry_config_host *registry_config_find(const struct registry_config *config,
                                                        const char *host)
{
    for (size_t i = 0; i < config->host_count; i++)
        if (strcmp(config->hosts[i].name, host) == 0)
            return &config->hosts[i];
    return NULL;
}

bool registry_host_is_loopback(const char *authority)
{
    char host[256];
    bool bracketed = authority[0] == '[';
    size_t length = strcspn(authority + bracketed, bracketed ? "]" : ":");
    if (length >= sizeof host || (bracketed && authority[1 + length] != ']'))
        return false;
    memcpy(host, authority + bracketed, length);
    host[length] = '\0';
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcasecmp(host, "localhost") == 0;
}
