#include "engine/log.h"

#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "engine/engine_internal.h"
#include "engine/lines.h"
#include "monitor/document.h"

#define LOOK_AGAIN_MS 1000 /* whether the container still runs, when nobody says so */

struct log_reading {
    const struct engine_log_options *options;
    int64_t last;    /* time of the record given last */
    uint64_t faulty; /* lines that aren't records */
};

/* The members of a line's record; false if it is none. */
static bool read_record(const char *line, size_t length, json_t **document,
                        struct engine_log_record *record)
{
    *document = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(*document, "log");
    const char *time = json_string_value(json_object_get(*document, "time"));
    const char *stream = json_string_value(json_object_get(*document, "stream"));
    if (!json_is_string(text) || !time || !stream || !timestamp_read(time, &record->time))
        return false;
    record->text = json_string_value(text);
    record->length = json_string_length(text);
    record->stream = strcmp(stream, "stderr") == 0 ? 2 : 1;
    record->attributes = json_object_get(*document, "attrs");
    return true;
}

/* 0: go on, 1: enough, -1: failed. */
static int give(struct log_reading *reading, const char *line, size_t length, bool again,
                struct error *err)
{
    const struct engine_log_options *options = reading->options;
    struct engine_log_record record;
    scope_json json_t *document = NULL;
    if (!read_record(line, length, &document, &record)) {
        reading->faulty++;
        return 0;
    }
    if ((again && record.time <= reading->last) || record.time < options->since)
        return 0;
    if (options->until && record.time > options->until)
        return 1;
    reading->last = record.time;
    return options->take(&record, options->context, err);
}

/* All that is there now. */
static int give_all(struct log_reading *reading, struct lines *lines, struct error *err)
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

static int is_writing(struct engine *engine, const struct engine_container *container,
                      struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return err->code == ENOENT ? 0 : -1; /* removed */
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    return is_up;
}

static int follow(struct engine *engine, const struct engine_container *container,
                  struct log_reading *reading, struct lines *lines, struct error *err)
{
    for (;;) {
        if (reading->options->until && timestamp_now() > reading->options->until)
            return 0;
        /* Asked first: what it writes until its end is read after that. */
        int up = is_writing(engine, container, err);
        int result = give_all(reading, lines, err);
        if (result != 0 || up <= 0)
            return result < 0 || up < 0 ? -1 : 0;
        if (lines_wait(lines, -1, LOOK_AGAIN_MS, err) < 0)
            return -1;
    }
}

static void warn(struct engine *engine, const char *path, uint64_t faulty)
{
    struct error err;
    error_set(&err, 0, "%s is damaged: %llu of its lines are no records", path,
              (unsigned long long)faulty);
    warnings_say(engine->warnings, &err);
}

int engine_read_log(struct engine *engine, const struct engine_container *container,
                    const struct engine_log_options *options, struct error *err)
{
    struct log_reading reading = {.options = options};
    scope_lines struct lines *lines = NULL;
    scope_free char *path = memory_format("%s/json.log", container->directory);
    const char *driver = json_string_value(
        json_object_get(json_object_get(engine_host_config(container), "LogConfig"), "Type"));
    if (driver && strcmp(driver, "none") == 0)
        return error_set(err, 0,
                         "container %s has the log driver none, so there is nothing to read",
                         container->name);
    if (lines_open(&lines, path, options->follow, err) < 0 ||
        (options->tail >= 0 && lines_skip_to_last(lines, (uint64_t)options->tail, err) < 0))
        return -1;
    int result = options->follow ? follow(engine, container, &reading, lines, err)
                                 : give_all(&reading, lines, err);
    if (reading.faulty > 0)
        warn(engine, path, reading.faulty);
    return result < 0 ? -1 : 0;
}
