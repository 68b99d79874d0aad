#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "cli/filter.h"
#include "cli/ps.h"

static const char known_keys[] = "ancestor before exited expose health id label name network "
                                 "publish since status volume";

/* A word of a list with blanks around each. */
static bool has_word(const char *words, const char *word)
{
    scope_free char *wanted = memory_format(" %s ", word);
    return !strchr(word, ' ') && strstr(words, wanted);
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static char *key_of(const char *filter)
{
    return memory_format("%.*s", (int)strcspn(filter, "="), filter);
}

/* "80", "80/udp", "8000-8010/tcp" */
static bool read_ports(const char *text, int64_t *first, int64_t *last, const char **protocol)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text), dash = strcspn(text, "-");
    *protocol = slash ? slash + 1 : "tcp";
    dash = dash < length ? dash : length;
    scope_free char *one = memory_format("%.*s", (int)dash, text);
    scope_free char *other =
        dash < length ? memory_format("%.*s", (int)(length - dash - 1), text + dash + 1) : NULL;
    if (!quantity_read_integer(one, 1, 65535, first))
        return false;
    *last = *first;
    return !other || quantity_read_integer(other, *first, 65535, last);
}

static bool is_valid(const char *key, const char *value)
{
    int64_t number, last;
    const char *protocol;
    regex_t pattern;
    if (strcmp(key, "status") == 0)
        return has_word(" created restarting running removing paused exited dead ", value);
    if (strcmp(key, "health") == 0)
        return has_word(" starting healthy unhealthy none ", value);
    if (strcmp(key, "exited") == 0)
        return quantity_read_integer(value, 0, 255, &number);
    if (strcmp(key, "publish") == 0 || strcmp(key, "expose") == 0)
        return read_ports(value, &number, &last, &protocol);
    if (strcmp(key, "name") == 0) {
        if (regcomp(&pattern, value, REG_EXTENDED | REG_NOSUB) != 0)
            return false;
        regfree(&pattern);
    }
    return true;
}

static int find_ancestor(struct ps_filter *filter, const char *value, struct error *err)
{
    scope_image struct image image = {0};
    struct image_store *store = engine_images(filter->engine, err);
    int found = store ? image_find(store, value, &image, err) : -1;
    if (found <= 0) /* as docker: nothing has an unknown ancestor */
        return found;
    filter->ancestors =
        memory_resize(filter->ancestors, filter->ancestor_count + 1, sizeof *filter->ancestors);
    memcpy(filter->ancestors[filter->ancestor_count++], image.id, sizeof image.id);
    return 0;
}

static int find_time(struct ps_filter *filter, const char *value, int64_t *time, struct error *err)
{
    scope_container struct engine_container container = {0};
    if (engine_find(filter->engine, value, &container, err) < 0)
        return -1;
    *time = container.created;
    return 0;
}

int ps_filter_prepare(struct ps_filter *filter, struct error *err)
{
    if (filter_check(filter->filters, filter->count, known_keys, err) < 0)
        return -1;
    for (size_t i = 0; i < filter->count; i++) {
        const char *text = filter->filters[i], *value = strchr(text, '=') + 1;
        scope_free char *key = key_of(text);
        int status = 0;
        if (!is_valid(key, value))
            return error_set(err, 0, "invalid filter '%.100s': there is no such %s", text, key);
        if (strcmp(key, "ancestor") == 0)
            status = find_ancestor(filter, value, err);
        else if (strcmp(key, "before") == 0)
            status = find_time(filter, value, &filter->before, err);
        else if (strcmp(key, "since") == 0)
            status = find_time(filter, value, &filter->since, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

void ps_filter_release(struct ps_filter *filter)
{
    free(filter->ancestors);
    filter->ancestors = NULL;
}

bool ps_filter_wants_all(const struct ps_filter *filter)
{
    for (size_t i = 0; i < filter->count; i++)
        if (strncmp(filter->filters[i], "status=", 7) == 0)
            return true;
    return false;
}

/* ---- whether it passes ---- */

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    scope_free char *slashed = memory_format("/%s", text);
    bool found =
        regexec(&compiled, text, 0, NULL, 0) == 0 || regexec(&compiled, slashed, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static bool has_label(const json_t *document, const char *value)
{
    const json_t *labels = json_object_get(json_object_get(document, "Config"), "Labels");
    scope_free char *key = key_of(value);
    const char *wanted = strchr(value, '=');
    const char *found = json_string_value(json_object_get(labels, key));
    return found && (!wanted || strcmp(found, wanted + 1) == 0);
}

static bool has_volume(const json_t *document, const char *value)
{
    const json_t *mount;
    size_t i;
    json_array_foreach(json_object_get(document, "Mounts"), i, mount)
    {
        if (strcmp(member(mount, "Name"), value) == 0 ||
            strcmp(member(mount, "Source"), value) == 0 ||
            strcmp(member(mount, "Destination"), value) == 0)
            return true;
    }
    return false;
}

static bool has_network(const json_t *document, const char *value)
{
    const char *name;
    json_t *network;
    const json_t *networks =
        json_object_get(json_object_get(document, "NetworkSettings"), "Networks");
    json_object_foreach((json_t *)networks, name, network)
    {
        if (strcmp(name, value) == 0 ||
            (*value && strncmp(member(network, "NetworkID"), value, strlen(value)) == 0))
            return true;
    }
    return false;
}

/* Whether one of these is the name of a port in the range, "80/tcp": all names of an object, or
 * what their values' HostPort say. */
static bool has_port(const json_t *ports, const char *value, bool published)
{
    int64_t first, last;
    const char *protocol, *name;
    json_t *bindings, *binding;
    size_t i;
    if (!read_ports(value, &first, &last, &protocol))
        return false;
    json_object_foreach((json_t *)ports, name, bindings)
    {
        const char *slash = strchr(name, '/');
        if (strcmp(slash ? slash + 1 : "tcp", protocol) != 0)
            continue;
        if (!published && atoi(name) >= first && atoi(name) <= last)
            return true;
        json_array_foreach(bindings, i, binding)
        {
            int outside = atoi(member(binding, "HostPort"));
            if (published && outside >= first && outside <= last)
                return true;
        }
    }
    return false;
}

static bool has_health(const json_t *state, const char *value)
{
    const char *health = member(json_object_get(state, "Health"), "Status");
    return strcmp(*health ? health : "none", value) == 0;
}

static bool passes_one(const struct ps_filter *filter, const struct engine_container *container,
                       const json_t *document, const char *key, const char *value)
{
    const json_t *state = json_object_get(document, "State");
    const json_t *network = json_object_get(document, "NetworkSettings");
    if (strcmp(key, "id") == 0)
        return strncmp(container->id, value, strlen(value)) == 0;
    if (strcmp(key, "name") == 0)
        return matches(container->name, value);
    if (strcmp(key, "label") == 0)
        return has_label(document, value);
    if (strcmp(key, "exited") == 0)
        return strcmp(member(state, "Status"), "exited") == 0 &&
               json_integer_value(json_object_get(state, "ExitCode")) == atoi(value);
    if (strcmp(key, "status") == 0)
        return strcmp(member(state, "Status"), value) == 0;
    if (strcmp(key, "before") == 0)
        return container->created < filter->before;
    if (strcmp(key, "since") == 0)
        return container->created > filter->since;
    if (strcmp(key, "volume") == 0)
        return has_volume(document, value);
    if (strcmp(key, "network") == 0)
        return has_network(document, value);
    if (strcmp(key, "publish") == 0)
        return has_port(json_object_get(network, "Ports"), value, true);
    if (strcmp(key, "expose") == 0)
        return has_port(json_object_get(json_object_get(document, "Config"), "ExposedPorts"), value,
                        false) ||
               has_port(json_object_get(network, "Ports"), value, false);
    if (strcmp(key, "health") == 0)
        return has_health(state, value);
    return false;
}

/* The image itself, or one made from it: that has all of its layers and more. */
static bool has_ancestor(const struct ps_filter *filter, const struct engine_container *container)
{
    struct image_store *store = engine_images(filter->engine, NULL);
    scope_image struct image image = {0};
    bool loaded = false;
    for (size_t i = 0; store && i < filter->ancestor_count; i++) {
        scope_image struct image ancestor = {0};
        if (strcmp(filter->ancestors[i], container->image_id) == 0)
            return true;
        if (!loaded && image_find(store, container->image_id, &image, NULL) != 1)
            return false;
        loaded = true;
        if (image_find(store, filter->ancestors[i], &ancestor, NULL) == 1 &&
            ancestor.layer_count < image.layer_count && ancestor.layer_count > 0 &&
            memcmp(ancestor.diff_ids, image.diff_ids,
                   ancestor.layer_count * sizeof *ancestor.diff_ids) == 0)
            return true;
    }
    return false;
}

bool ps_filter_passes(const struct ps_filter *filter, const struct engine_container *container,
                      const json_t *document)
{
    for (size_t i = 0; i < filter->count; i++) {
        scope_free char *key = key_of(filter->filters[i]);
        bool found = strcmp(key, "ancestor") == 0 && has_ancestor(filter, container);
        for (size_t j = 0; j < filter->count && !found; j++) {
            scope_free char *other = key_of(filter->filters[j]);
            bool passes =
                strcmp(key, other) == 0 && passes_one(filter, container, document, key,
                                                      filter->filters[j] + strlen(other) + 1);
            /* Labels all must be there. */
            if (strcmp(key, "label") == 0 && j == i) {
                if (!passes)
                    return false;
                found = true;
            } else if (strcmp(key, "label") != 0) {
                found = passes;
            }
        }
        if (!found)
            return false;
    }
    return true;
}
