/* What the image says where the settings don't. */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/settings_internal.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where the list has the variable that text begins with ("NAME=VALUE" or "NAME"); its size if it
 * has none. */
static size_t find_variable(const json_t *list, const char *text)
{
    size_t length = strcspn(text, "="), i;
    for (i = 0; i < json_array_size(list); i++) {
        const char *other = json_string_value(json_array_get(list, i));
        if (strcspn(other, "=") == length && strncmp(other, text, length) == 0)
            break;
    }
    return i;
}

static void set_variable(json_t *list, const char *text)
{
    size_t at = find_variable(list, text);
    if (!strchr(text, '='))
        json_array_remove(list, at); /* "NAME" alone takes the image's away */
    else if (at < json_array_size(list))
        json_array_set_new(list, at, json_string(text));
    else
        json_array_append_new(list, json_string(text));
}

/* The image's variables in their order, each replaced by the settings'; and a PATH. */
static json_t *merge_environment(const json_t *settings, const json_t *image)
{
    json_t *list = json_array();
    const json_t *sources[] = {json_object_get(image, "Env"), json_object_get(settings, "Env")};
    for (size_t i = 0; i < 2; i++) {
        const json_t *variable;
        size_t j;
        json_array_foreach(sources[i], j, variable) if (json_is_string(variable) &&
                                                        *json_string_value(variable) != '=')
            set_variable(list, json_string_value(variable));
    }
    if (find_variable(list, "PATH") == json_array_size(list) &&
        find_variable(sources[1], "PATH") == json_array_size(sources[1]))
        json_array_insert_new(list, 0, json_string(DEFAULT_PATH));
    return list;
}

/* The settings' members beside the image's, of which they replace those of the same key. */
static void merge_map(json_t *merged, const json_t *image, const char *key)
{
    json_t *map = json_object();
    json_object_update(map, json_object_get(image, key));
    json_object_update(map, json_object_get(merged, key));
    if (json_object_size(map) > 0)
        json_object_set(merged, key, map);
    json_decref(map);
}

static void take_if_absent(json_t *merged, const json_t *image, const char *key)
{
    json_t *value = json_object_get(image, key);
    if (value && !settings_given(merged, key))
        json_object_set_new(merged, key, json_deep_copy(value));
}

/* An entry point of the settings makes the image's Cmd meaningless; one empty text stands for
 * none. */
static void merge_command(json_t *merged, const json_t *image)
{
    json_t *entry = json_object_get(merged, "Entrypoint");
    if (json_array_size(entry) == 0) {
        take_if_absent(merged, image, "Cmd");
        take_if_absent(merged, image, "Entrypoint");
    } else if (json_array_size(entry) == 1 && json_string_length(json_array_get(entry, 0)) == 0) {
        json_object_set_new(merged, "Entrypoint", json_array());
    }
}

static void merge_health(json_t *merged, const json_t *image)
{
    json_t *own = json_object_get(merged, "Healthcheck");
    const json_t *theirs = json_object_get(image, "Healthcheck");
    const char *key;
    json_t *value;
    if (!json_is_object(theirs))
        return;
    if (!json_is_object(own)) {
        json_object_set_new(merged, "Healthcheck", json_deep_copy(theirs));
        return;
    }
    json_object_foreach((json_t *)theirs, key, value) if (!settings_given(own, key))
        json_object_set_new(own, key, json_deep_copy(value));
}

json_t *settings_merge(const json_t *settings, const json_t *image, struct error *err)
{
    static const char *const maps[] = {"Labels", "ExposedPorts", "Volumes"};
    static const char *const members[] = {"User", "WorkingDir", "StopSignal", "Shell"};
    const json_t *config = json_object_get(image, "config");
    json_t *merged = json_deep_copy(settings);
    json_object_set_new(merged, "Env", merge_environment(settings, config));
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        merge_map(merged, config, maps[i]);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        take_if_absent(merged, config, members[i]);
    merge_command(merged, config);
    merge_health(merged, config);
    if (settings_given(merged, "Entrypoint") || settings_given(merged, "Cmd"))
        return merged;
    json_decref(merged);
    error_set(err, 0, "no command given, and image '%.128s' has none (name one after the image)",
              settings_text(settings, "Image"));
    return NULL;
}
