#include "engine/events.h"

#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "engine/lines.h"
#include "monitor/document.h"

struct event_reading {
    const struct engine_events_options *options;
    int64_t since, last;
};

static const char *text_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* An object is asked for by its name, its id, or the beginning of that. */
static bool is_object(const json_t *event, const char *type, const char *value)
{
    const json_t *actor = json_object_get(event, "Actor");
    const char *id = text_member(actor, "ID");
    const char *name = text_member(json_object_get(actor, "Attributes"), "name");
    return strcmp(text_member(event, "Type"), type) == 0 && *value &&
           (strncmp(id, value, strlen(value)) == 0 || strcmp(name, value) == 0);
}

/* "name", "name:tag", or an id, of an event of an image or of one of its containers. */
static bool is_of_image(const json_t *event, const char *value)
{
    const json_t *actor = json_object_get(event, "Actor"),
                 *attributes = json_object_get(actor, "Attributes");
    bool is_image = strcmp(text_member(event, "Type"), "image") == 0;
    const char *name = text_member(attributes, is_image ? "name" : "image");
    size_t length = strlen(value);
    if (is_image && strncmp(text_member(actor, "ID"), value, length) == 0)
        return true;
    return strcmp(name, value) == 0 || (strncmp(name, value, length) == 0 && name[length] == ':');
}

static bool has_label(const json_t *event, const char *value)
{
    scope_free char *key = memory_format("%.*s", (int)strcspn(value, "="), value);
    const char *wanted = strchr(value, '=');
    const json_t *attributes = json_object_get(json_object_get(event, "Actor"), "Attributes");
    const char *found = json_string_value(json_object_get(attributes, key));
    return found && (!wanted || strcmp(found, wanted + 1) == 0);
}

/* "exec_create: sh" and "health_status: healthy" are asked for without what follows, too. */
static bool is_action(const json_t *event, const char *value)
{
    const char *action = text_member(event, "Action");
    size_t length = strlen(value);
    return strncmp(action, value, length) == 0 && (!action[length] || action[length] == ':');
}

static bool passes_one(const json_t *event, const char *key, const char *value)
{
    if (strcmp(key, "event") == 0)
        return is_action(event, value);
    if (strcmp(key, "type") == 0)
        return strcmp(text_member(event, "Type"), value) == 0;
    if (strcmp(key, "scope") == 0)
        return strcmp(text_member(event, "scope"), value) == 0;
    if (strcmp(key, "label") == 0)
        return has_label(event, value);
    if (strcmp(key, "image") == 0)
        return is_of_image(event, value);
    return is_object(event, key, value);
}

static char *filter_key(const char *filter)
{
    return memory_format("%.*s", (int)strcspn(filter, "="), filter);
}

static int check_filters(const struct engine_events_options *options, struct error *err)
{
    static const char known[] = " container event image label network scope type volume ";
    for (size_t i = 0; i < options->filter_count; i++) {
        scope_free char *key = filter_key(options->filters[i]);
        scope_free char *word = memory_format(" %s ", key);
        if (!strchr(options->filters[i], '=') || !strstr(known, word) || strchr(key, ' '))
            return error_set(err, 0, "invalid filter '%.100s' (KEY=VALUE, with one of:%s)",
                             options->filters[i], known);
    }
    return 0;
}

/* Of several with one key one must hold, of each key. */
static bool passes(const struct engine_events_options *options, const json_t *event)
{
    for (size_t i = 0; i < options->filter_count; i++) {
        scope_free char *key = filter_key(options->filters[i]);
        bool found = false;
        for (size_t j = 0; j < options->filter_count && !found; j++) {
            scope_free char *other = filter_key(options->filters[j]);
            found = strcmp(key, other) == 0 &&
                    passes_one(event, key, options->filters[j] + strlen(other) + 1);
        }
        if (!found)
            return false;
    }
    return true;
}

/* 0: go on, 1: enough, -1: failed. What isn't an event is passed over. */
static int give(struct event_reading *reading, const char *line, size_t length, bool again,
                struct error *err)
{
    const struct engine_events_options *options = reading->options;
    scope_json json_t *event = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    int64_t time = json_integer_value(json_object_get(event, "timeNano"));
    if (!event || (again && time <= reading->last) || time < reading->since)
        return 0;
    if (options->until && time > options->until)
        return 1;
    reading->last = time;
    return passes(options, event) ? options->take(event, options->context, err) : 0;
}

static int give_all(struct event_reading *reading, struct lines *lines, struct error *err)
{
    char *line;
    size_t length;
    bool again;
    int result;
    while ((result = lines_next(lines, &line, &length, &again, err)) == 1) {
        result = give(reading, line, length, again, err);
        if (result != 0)
            break;
    }
    return result;
}

/* Milliseconds until then, for poll(2); at least one. */
static int time_left(int64_t until)
{
    if (!until)
        return -1;
    int64_t left = (until - timestamp_now()) / 1000000 + 1;
    return left > INT_MAX ? INT_MAX : left < 1 ? 1 : (int)left;
}

int engine_read_events(struct engine *engine, const struct engine_events_options *options,
                       struct error *err)
{
    scope_lines struct lines *lines = NULL;
    bool only_new = !options->since && !options->until;
    struct event_reading reading = {.options = options,
                                    .since = only_new ? timestamp_now() : options->since};
    if (check_filters(options, err) < 0 ||
        lines_open(&lines, engine_events_path(engine), true, err) < 0 ||
        (only_new && lines_skip_to_last(lines, 0, err) < 0))
        return -1;
    for (;;) {
        bool over = options->until && timestamp_now() > options->until;
        int result = give_all(&reading, lines, err);
        if (result != 0 || over)
            return result < 0 ? -1 : 0;
        if (lines_wait(lines, -1, time_left(options->until), err) < 0)
            return -1;
    }
}
