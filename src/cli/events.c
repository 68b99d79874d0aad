#include "engine/events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/engine_verb.h"
#include "cli/format.h"

static const struct command_flag flags[] = {
    {.name = "filter",
     .letter = 'f',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only events that container, event, image, label, network, scope, type or volume "
             "say"},
    {.name = "format", .argument = "TEMPLATE", .help = "print json or a Go template"},
    {.name = "since", .argument = "TIME", .help = "from this time on: a date, or 10m for ago"},
    {.name = "until", .argument = "TIME", .help = "until this time, and then end"},
    {0},
};

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static const char *text_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "2026-… container start ID (image=busybox, name=web)" */
static void print_event(const json_t *event)
{
    const json_t *actor = json_object_get(event, "Actor");
    json_t *attributes = json_object_get(actor, "Attributes");
    int64_t time = json_integer_value(json_object_get(event, "timeNano"));
    printf("%s %s %s %s", timestamp_format(time, true).text, text_member(event, "Type"),
           text_member(event, "Action"), text_member(actor, "ID"));
    size_t count = 0;
    scope_free const char **keys = memory_allocate(json_object_size(attributes) + 1, sizeof *keys);
    const char *key;
    json_t *value;
    json_object_foreach(attributes, key, value) keys[count++] = key;
    qsort(keys, count, sizeof *keys, compare_texts);
    for (size_t i = 0; i < count; i++)
        printf("%s%s=%s", i ? ", " : " (", keys[i], text_member(attributes, keys[i]));
    puts(count ? ")" : "");
}

static int show_event(const json_t *event, void *argument, struct error *err)
{
    const char *format = argument;
    if (!format)
        print_event(event);
    else if (format_print_line(format, event, stdout, err) < 0)
        return -1;
    return fflush(stdout) != 0 ? error_set(err, errno, "can't write") : 0;
}

static int print_events(struct cli_context *context, struct engine *engine, struct error *err)
{
    struct command_line *line = context->line;
    const char *since = command_value(line, "since"), *until = command_value(line, "until");
    const char *format = command_value(line, "format");
    int64_t now = timestamp_now();
    struct engine_events_options options = {.take = show_event,
                                            .context = format ? (char *)format : NULL};
    options.filter_count = command_values(line, "filter", &options.filters);
    if ((since && timestamp_read_argument(since, now, &options.since, err) < 0) ||
        (until && timestamp_read_argument(until, now, &options.until, err) < 0))
        return -1;
    return engine_read_events(engine, &options, err);
}

static int run_events(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, print_events, err);
}

const struct cli_verb cli_events = {
    .command = {.name = "events",
                .aliases = "system events",
                .summary = "show what happens to containers, images, networks and volumes",
                .flags = flags},
    .run = run_events,
};
