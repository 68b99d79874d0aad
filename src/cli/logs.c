#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/container_verb.h"
#include "engine/log.h"

static const struct command_flag flags[] = {
    {.name = "details", .help = "show the attributes that --log-opt labels and env ask for"},
    {.name = "follow", .letter = 'f', .help = "go on until the container ends"},
    {.name = "since", .argument = "TIME", .help = "only from this time on: a date, or 10m for ago"},
    {.name = "tail",
     .letter = 'n',
     .argument = "N",
     .default_text = "all",
     .help = "only the last N lines"},
    {.name = "timestamps", .letter = 't', .help = "show when each was printed"},
    {.name = "until", .argument = "TIME", .help = "only until this time"},
    {0},
};

/* "key=value,other=value" in front of the text. */
static void print_attributes(const json_t *attributes, FILE *out)
{
    const char *key, *between = "";
    json_t *value;
    json_object_foreach((json_t *)attributes, key, value)
    {
        const char *text = json_string_value(value);
        fprintf(out, "%s%s=%s", between, key, text ? text : "");
        between = ",";
    }
    fputc(' ', out);
}

static int print_record(const struct engine_log_record *record, void *argument, struct error *err)
{
    const struct command_line *line = argument;
    FILE *out = record->stream == 2 ? stderr : stdout;
    if (command_given(line, "timestamps"))
        fprintf(out, "%s ", timestamp_format(record->time, false).text);
    if (command_given(line, "details"))
        print_attributes(record->attributes, out);
    fwrite(record->text, 1, record->length, out);
    /* Whoever follows sees lines as they come. */
    if ((command_given(line, "follow") || out == stderr) && fflush(out) != 0)
        return error_set(err, errno, "can't write");
    return ferror(out) ? error_set(err, errno, "can't write") : 0;
}

static int read_options(struct command_line *line, struct engine_log_options *options,
                        struct error *err)
{
    const char *since = command_value(line, "since"), *until = command_value(line, "until");
    const char *tail = command_value(line, "tail");
    int64_t now = timestamp_now();
    options->tail = -1;
    if ((since && timestamp_read_argument(since, now, &options->since, err) < 0) ||
        (until && timestamp_read_argument(until, now, &options->until, err) < 0))
        return -1;
    /* As docker: what isn't a number means all. */
    if (tail && !quantity_read_integer(tail, 0, INT64_MAX, &options->tail))
        options->tail = -1;
    return 0;
}

static int print_log(struct cli_context *context, struct engine *engine,
                     const struct engine_container *container, struct error *err)
{
    struct command_line *line = context->line;
    struct engine_log_options options = {
        .follow = command_given(line, "follow"), .take = print_record, .context = line};
    if (read_options(line, &options, err) < 0)
        return -1;
    return engine_read_log(engine, container, &options, err);
}

static int run_logs(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, print_log, err);
}

const struct cli_verb cli_logs = {
    .command = {.name = "logs",
                .aliases = "container logs",
                .arguments = "CONTAINER",
                .summary = "show what a container has printed",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_logs,
};
