/* monitor.json: one table says what there is; writing and reading both follow it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/monitor.h"

#define CONFIG_SIZE_LIMIT (4 << 20)
#define MAX_STRINGS 4096
#define MAX_LAYERS 500 /* overlayfs's own limit */

enum kind { STRING, PATH, STRINGS, BOOLEAN, INT, INT64, SHORT, OBJECT, RESTART };

struct field {
    const char *section; /* the object that holds it; NULL: the document itself */
    const char *name;
    enum kind kind;
    size_t offset;
    bool required;
    int64_t min, max; /* of numbers */
};

#define AT(member) offsetof(struct monitor_config, member)
#define DAY (86400LL * 1000000000)

static const struct field fields[] = {
    {NULL, "id", STRING, AT(id), true},
    {NULL, "name", STRING, AT(name)},
    {NULL, "image", STRING, AT(image)},
    {NULL, "labels", OBJECT, AT(labels)},
    {NULL, "stateDirectory", PATH, AT(state_directory), true},
    {NULL, "events", PATH, AT(events), true},
    {NULL, "runtime", PATH, AT(runtime), true},
    {NULL, "runtimeRoot", PATH, AT(runtime_root), true},
    {NULL, "runtimeFlags", STRINGS, AT(runtime_flags)},
    {NULL, "createFlags", STRINGS, AT(create_flags)},
    {NULL, "bundle", PATH, AT(bundle), true},
    {NULL, "hostMountNamespace", BOOLEAN, AT(host_mount_namespace)},
    {NULL, "terminal", BOOLEAN, AT(terminal)},
    {NULL, "openStdin", BOOLEAN, AT(open_stdin)},
    {NULL, "stdinOnce", BOOLEAN, AT(stdin_once)},
    {NULL, "beginAtOnce", BOOLEAN, AT(begin_at_once)},
    {NULL, "owner", INT64, AT(owner), .max = UINT32_MAX},
    {NULL, "rows", SHORT, AT(rows), .max = USHRT_MAX},
    {NULL, "columns", SHORT, AT(columns), .max = USHRT_MAX},
    {NULL, "restart", RESTART, AT(restart)},
    {NULL, "stopSignal", INT, AT(stop_signal), .max = 64},
    {NULL, "stopTimeout", INT, AT(stop_timeout), .min = INT_MIN, .max = INT_MAX},
    {NULL, "cleanup", STRINGS, AT(cleanup)},
    {"overlay", "target", PATH, AT(overlay.target)},
    {"overlay", "lower", STRINGS, AT(overlay.lower)},
    {"overlay", "upper", PATH, AT(overlay.upper)},
    {"overlay", "work", PATH, AT(overlay.work)},
    {"overlay", "userxattr", BOOLEAN, AT(overlay.userxattr)},
    {"overlay", "options", STRING, AT(overlay.options)},
    {"overlay", "userNamespace", PATH, AT(overlay.user_namespace)},
    {"log", "path", PATH, AT(log.path)},
    {"log", "maxSize", INT64, AT(log.max_size), .min = INT64_MIN, .max = INT64_MAX},
    {"log", "maxFile", INT, AT(log.max_file), .max = 100000},
    {"log", "compress", BOOLEAN, AT(log.compress)},
    {"log", "attributes", STRING, AT(log.attributes)},
    {"health", "test", STRINGS, AT(health.test)},
    {"health", "interval", INT64, AT(health.interval), .max = 1000 * DAY},
    {"health", "timeout", INT64, AT(health.timeout), .max = 1000 * DAY},
    {"health", "startPeriod", INT64, AT(health.start_period), .max = 1000 * DAY},
    {"health", "startInterval", INT64, AT(health.start_interval), .max = 1000 * DAY},
    {"health", "retries", INT, AT(health.retries), .max = INT_MAX},
};

#define FIELD_COUNT (sizeof fields / sizeof *fields)

/* ---- writing ---- */

static json_t *write_strings(const struct monitor_strings *strings)
{
    if (strings->count == 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < strings->count; i++) {
        json_t *item = json_string(strings->items[i]);
        /* jansson takes no NULL: a name that isn't UTF-8 must not vanish from the list. */
        if (!item || json_array_append_new(list, item) < 0) {
            json_decref(list);
            return json_null();
        }
    }
    return list;
}

static json_t *write_string(const char *text)
{
    if (!text)
        return NULL;
    json_t *string = json_string(text);
    return string ? string : json_null();
}

/* NULL: leave it out. null: it can't be said. */
static json_t *write_field(const struct monitor_config *config, const struct field *field)
{
    const char *at = (const char *)config + field->offset;
    switch (field->kind) {
    case STRING:
    case PATH:
        return write_string(*(const char *const *)at);
    case STRINGS:
        return write_strings((const struct monitor_strings *)at);
    case BOOLEAN:
        return *(const bool *)at ? json_true() : NULL;
    case INT:
        return *(const int *)at ? json_integer(*(const int *)at) : NULL;
    case INT64:
        return *(const int64_t *)at ? json_integer(*(const int64_t *)at) : NULL;
    case SHORT:
        return *(const unsigned short *)at ? json_integer(*(const unsigned short *)at) : NULL;
    case OBJECT:
        return json_incref(*(json_t *const *)at);
    case RESTART:
        return restart_to_json((const struct monitor_restart *)at);
    }
    return NULL;
}

static json_t *section_of(json_t *document, const char *name)
{
    if (!name)
        return document;
    json_t *section = json_object_get(document, name);
    if (!section)
        json_object_set_new(document, name, section = json_object());
    return section;
}

int monitor_config_write(const char *run_directory, const struct monitor_config *config,
                         struct error *err)
{
    scope_json json_t *document = json_object();
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        json_t *value = write_field(config, &fields[i]);
        if (json_is_null(value))
            return error_set(err, EILSEQ, "the container's %s%s%s can't be recorded",
                             fields[i].section ? fields[i].section : "",
                             fields[i].section ? "." : "", fields[i].name);
        if (value)
            json_object_set_new(section_of(document, fields[i].section), fields[i].name, value);
    }
    scope_free char *path = memory_format("%s/monitor.json", run_directory);
    return document_write(path, document, err);
}

/* ---- reading ---- */

static int read_string(struct monitor_config *config, json_t *value, const char **result)
{
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return -1;
    *result = arena_copy_string(&config->arena, json_string_value(value));
    return 0;
}

static int read_strings(struct monitor_config *config, json_t *value,
                        struct monitor_strings *strings)
{
    size_t count = json_array_size(value), index;
    json_t *item;
    if (!json_is_array(value) || count > MAX_STRINGS)
        return -1;
    strings->items = arena_allocate(&config->arena, count + 1, sizeof *strings->items);
    json_array_foreach(value, index, item)
    {
        if (read_string(config, item, &strings->items[index]) < 0)
            return -1;
    }
    strings->count = count;
    return 0;
}

static int read_labels(json_t *value, json_t **labels)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return -1;
    json_object_foreach(value, key, item)
    {
        if (!json_is_string(item))
            return -1;
    }
    json_decref(*labels);
    *labels = json_incref(value);
    return 0;
}

static int read_number(json_t *value, const struct field *field, void *at)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < field->min || number > field->max)
        return -1;
    if (field->kind == INT)
        *(int *)at = (int)number;
    else if (field->kind == SHORT)
        *(unsigned short *)at = (unsigned short)number;
    else
        *(int64_t *)at = number;
    return 0;
}

static int read_field(struct monitor_config *config, const struct field *field, json_t *value)
{
    char *at = (char *)config + field->offset;
    switch (field->kind) {
    case STRING:
        return read_string(config, value, (const char **)at);
    case PATH:
        return read_string(config, value, (const char **)at) < 0 || **(const char **)at != '/' ? -1
                                                                                               : 0;
    case STRINGS:
        return read_strings(config, value, (struct monitor_strings *)at);
    case BOOLEAN:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value) ? 0 : -1;
    case OBJECT:
        return read_labels(value, (json_t **)at);
    case RESTART:
        return restart_from_json((struct monitor_restart *)at, value);
    default:
        return read_number(value, field, at);
    }
}

static const struct field *find_field(const char *section, const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *other = fields[i].section;
        if (strcmp(fields[i].name, name) == 0 &&
            (section ? other && strcmp(other, section) == 0 : !other))
            return &fields[i];
    }
    return NULL;
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].section && strcmp(fields[i].section, name) == 0)
            return true;
    }
    return false;
}

static int read_object(struct monitor_config *config, const char *section, json_t *object,
                       struct error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return error_set(err, 0, "%s is not an object", section ? section : "the document");
    json_object_foreach(object, key, value)
    {
        if (!section && is_section(key)) {
            if (read_object(config, key, value, err) < 0)
                return -1;
            continue;
        }
        const struct field *field = find_field(section, key);
        if (!field || read_field(config, field, value) < 0)
            return error_set(err, 0, "%s%s%.64s is %s", section ? section : "", section ? "." : "",
                             field ? key : "a key", field ? "not valid" : "unknown");
    }
    return 0;
}

/* What one value alone doesn't show. */
static int check(const struct monitor_config *config, struct error *err)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].required && !*(const char *const *)((const char *)config + fields[i].offset))
            return error_set(err, 0, "%s is missing", fields[i].name);
    }
    const struct monitor_overlay *overlay = &config->overlay;
    if (!overlay->target)
        return 0;
    if (overlay->lower.count == 0 || overlay->lower.count > MAX_LAYERS)
        return error_set(err, 0, "overlay.lower has %zu directories, 1 to %d are possible",
                         overlay->lower.count, MAX_LAYERS);
    if (!overlay->upper != !overlay->work)
        return error_set(err, 0, "overlay has only one of upper and work");
    for (size_t i = 0; i < overlay->lower.count; i++) {
        if (*overlay->lower.items[i] != '/')
            return error_set(err, 0, "overlay.lower is not valid");
    }
    return 0;
}

int monitor_config_parse(struct monitor_config *config, const char *text, size_t length,
                         struct error *err)
{
    json_error_t problem;
    *config = (struct monitor_config){0};
    scope_json json_t *document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
    if (!document)
        return error_set(err, 0, "monitor.json, line %d: not valid JSON", problem.line);
    if (read_object(config, NULL, document, err) == 0 && check(config, err) == 0) {
        if (config->log.max_file < 1)
            config->log.max_file = 1;
        if (config->stop_signal == 0)
            config->stop_signal = SIGTERM;
        return 0;
    }
    monitor_config_release(config);
    return error_wrap(err, "monitor.json");
}

int monitor_config_read(const char *run_directory, struct monitor_config *config, struct error *err)
{
    size_t length;
    scope_free char *path = memory_format("%s/monitor.json", run_directory);
    scope_free char *text = file_read_all(AT_FDCWD, path, CONFIG_SIZE_LIMIT, &length, err);
    if (!text)
        return -1;
    return monitor_config_parse(config, text, length, err);
}

void monitor_config_release(struct monitor_config *config)
{
    json_decref(config->labels);
    arena_release(&config->arena);
    *config = (struct monitor_config){0};
}
