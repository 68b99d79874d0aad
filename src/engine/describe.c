/* What events and log records say of a container. */
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

json_t *engine_event_attributes(const struct engine_container *container)
{
    json_t *attributes = json_object(), *labels = json_object_get(container->settings, "Labels");
    if (labels)
        json_object_update(attributes, labels);
    json_object_set_new(attributes, "image", json_string(container->image));
    json_object_set_new(attributes, "name", json_string(container->name));
    return attributes;
}

/* ---- Log records: --log-opt labels=A,B --log-opt env=C --log-opt tag=TEMPLATE ---- */

static void add_labels(const struct engine_container *container, const char *keys,
                       json_t *attributes)
{
    scope_free char *copy = memory_copy_string(keys);
    char *rest = copy;
    for (char *key; (key = strsep(&rest, ","));) {
        json_t *value = json_object_get(json_object_get(container->settings, "Labels"), key);
        if (value)
            json_object_set(attributes, key, value);
    }
}

static void add_variables(const struct engine_container *container, const char *names,
                          json_t *attributes)
{
    const json_t *variable;
    size_t i;
    scope_free char *copy = memory_copy_string(names);
    char *rest = copy;
    for (char *name; (name = strsep(&rest, ","));) {
        size_t length = strlen(name);
        json_array_foreach(json_object_get(container->settings, "Env"), i, variable)
        {
            const char *text = json_string_value(variable);
            if (length > 0 && strncmp(text, name, length) == 0 && text[length] == '=')
                json_object_set_new(attributes, name, json_string(text + length + 1));
        }
    }
}

/* The fields of docker's tag templates; anything else stands as it is. */
static char *fill_tag(const struct engine_container *container, const char *template)
{
    const char *image_id = strchr(container->image_id, ':');
    scope_free char *short_id = memory_format("%.12s", container->id);
    scope_free char *short_image = memory_format("%.12s", image_id ? image_id + 1 : "");
    const struct {
        const char *field, *value;
    } fields[] = {
        {"{{.ID}}", short_id},
        {"{{.FullID}}", container->id},
        {"{{.Name}}", container->name},
        {"{{.ImageID}}", short_image},
        {"{{.ImageFullID}}", container->image_id},
        {"{{.ImageName}}", container->image},
        {"{{.DaemonName}}", "hull"},
    };
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    while (out && *template) {
        size_t i = 0;
        while (i < sizeof fields / sizeof *fields &&
               strncmp(template, fields[i].field, strlen(fields[i].field)) != 0)
            i++;
        if (i < sizeof fields / sizeof *fields) {
            fputs(fields[i].value, out);
            template += strlen(fields[i].field);
        } else {
            putc(*template ++, out);
        }
    }
    if (out)
        fclose(out);
    return text;
}

char *engine_log_attributes(const struct engine_container *container, const json_t *options)
{
    json_t *attributes = json_object();
    const char *tag = settings_text(options, "tag");
    add_labels(container, settings_text(options, "labels"), attributes);
    add_variables(container, settings_text(options, "env"), attributes);
    if (*tag) {
        scope_free char *text = fill_tag(container, tag);
        json_object_set_new(attributes, "tag", json_string(text));
    }
    char *text = json_object_size(attributes) > 0 ? json_dumps(attributes, JSON_COMPACT) : NULL;
    json_decref(attributes);
    return text;
}
