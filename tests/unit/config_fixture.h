/* A small valid configuration, and variations of it.
 *
 * A variation is a JSON merge patch (RFC 7396): objects are merged, null removes, everything
 * else replaces. For readability in C, JSON is written here with ' in place of ". */
#ifndef HULL_TESTS_UNIT_CONFIG_FIXTURE_H
#define HULL_TESTS_UNIT_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/memory.h"
#include "oci/config.h"

static const char fixture_base[] =
    "{'ociVersion': '1.2.0', 'root': {'path': 'rootfs'},"
    " 'process': {'cwd': '/', 'args': ['sh']},"
    " 'linux': {'namespaces': [{'type': 'pid'}, {'type': 'network'}, {'type': 'ipc'},"
    " {'type': 'uts'}, {'type': 'mount'}, {'type': 'user'}, {'type': 'cgroup'},"
    " {'type': 'time'}],"
    " 'uidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 10}],"
    " 'gidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 10}]}}";

/* The caller frees. */
static inline char *fixture_quote(const char *json)
{
    char *text = memory_copy_string(json);
    for (char *at = text; (at = strchr(at, '\'')); at++)
        *at = '"';
    return text;
}

static inline json_t *fixture_load(const char *json)
{
    char *text = fixture_quote(json);
    json_error_t failure;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &failure);
    if (!value)
        fail_msg("the test's own JSON is wrong: %s: %s", failure.text, text);
    free(text);
    return value;
}

static inline void fixture_merge(json_t *target, json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach(patch, key, value)
    {
        json_t *old = json_object_get(target, key);
        if (json_is_null(value)) {
            json_object_del(target, key);
        } else if (json_is_object(value)) {
            if (!json_is_object(old))
                json_object_set_new(target, key, json_object());
            fixture_merge(json_object_get(target, key), value);
        } else {
            json_object_set(target, key, value);
        }
    }
}

/* The base with the patch, as text; the caller frees. */
static inline char *fixture_text(const char *patch)
{
    json_t *document = fixture_load(fixture_base);
    json_t *changes = fixture_load(patch);
    fixture_merge(document, changes);
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(changes);
    json_decref(document);
    return text;
}

typedef int fixture_parser(struct config *config, const char *text, size_t length,
                           struct error *err);

/* Parses a copy without a NUL at its end, so that a sanitizer sees a read beyond it. */
static inline int fixture_parse_exactly(fixture_parser *parser, struct config *config,
                                        const char *text, struct error *err)
{
    size_t length = strlen(text);
    char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    int result = parser(config, copy, length, err);
    free(copy); /* the result may not point into the text */
    return result;
}

static inline void fixture_expect_error(fixture_parser *parser, const char *text,
                                        const char *expected)
{
    struct config config;
    struct error err = {0};
    if (fixture_parse_exactly(parser, &config, text, &err) == 0) {
        config_release(&config);
        fail_msg("accepted, but should say '%s': %s", expected, text);
    }
    assert_string_equal(err.text, expected);
    assert_null(config.document);
    assert_null(config.arena.blocks);
}

static inline void fixture_accept(fixture_parser *parser, struct config *config, const char *text)
{
    struct error err = {0};
    if (fixture_parse_exactly(parser, config, text, &err) < 0)
        fail_msg("refused with '%s': %s", err.text, text);
}

/* The base with the patch, parsed; released with config_release(). */
static inline struct config fixture_parse(const char *patch)
{
    struct config config;
    char *text = fixture_text(patch);
    fixture_accept(config_parse, &config, text);
    free(text);
    return config;
}

struct fixture_rule {
    const char *patch;
    const char *error; /* NULL: accepted */
};

static inline void fixture_check_rules(const struct fixture_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = fixture_text(rules[i].patch);
        if (rules[i].error) {
            fixture_expect_error(config_parse, text, rules[i].error);
        } else {
            struct config config;
            fixture_accept(config_parse, &config, text);
            config_release(&config);
        }
        free(text);
    }
}
#define FIXTURE_CHECK_RULES(rules) fixture_check_rules((rules), sizeof(rules) / sizeof *(rules))

#endif
