#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "cli/container_verb.h"

static const struct command_flag flags[] = {
    {.name = "attach", .letter = 'a', .help = "show the container's output, and pass signals on"},
    {.name = "detach-keys", .argument = "KEYS", .help = "keys that detach from the container"},
    {.name = "interactive", .letter = 'i', .help = "pass standard input on"},
    {.name = "sig-proxy", .help = "pass signals on to its program", .default_text = "true"},
    {0},
};

static int start_in_background(struct cli_context *context, struct engine *engine,
                               const struct engine_container *container, void *argument,
                               struct error *err)
{
    (void)context;
    (void)argument;
    struct engine_start start = {0};
    return engine_start(engine, container, &start, err) < 0 ? -1 : 0;
}

static int start_in_foreground(struct cli_context *context, struct engine *engine,
                               const struct engine_container *container, struct error *err)
{
    const struct command_line *line = context->line;
    const char *proxy = command_value(line, "sig-proxy");
    bool has_terminal = json_is_true(json_object_get(container->settings, "Tty"));
    bool has_input = json_is_true(json_object_get(container->settings, "OpenStdin"));
    struct engine_start start = {.hold = true};
    container_session_size(&start.rows, &start.columns);
    int started = engine_start(engine, container, &start, err);
    if (started < 0) {
        context->exit_status = start.failure.exit_code;
        return -1;
    }
    const struct container_session session = {
        .flags = MONITOR_ATTACH_STDOUT | MONITOR_ATTACH_LOSSLESS |
                 (has_terminal ? 0 : MONITOR_ATTACH_STDERR) |
                 (command_given(line, "interactive") && has_input ? MONITOR_ATTACH_STDIN : 0),
        .held = started == 0 ? &start : NULL,
        .pass_signals = !proxy || strcmp(proxy, "true") == 0,
        .detach_keys = command_value(line, "detach-keys"),
    };
    return container_session_run(engine, container, &session, &context->exit_status, err);
}

static int run_start(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    const struct container_verb_each each = {.act = start_in_background};
    if (!command_given(line, "attach") && !command_given(line, "interactive"))
        return container_verb_each(context, &each, err);
    if (line->argument_count > 1) {
        context->exit_status = 1;
        return error_set(err, 0, "only one container can be attached to");
    }
    return container_verb_one(context, start_in_foreground, err);
}

const struct cli_verb cli_start = {
    .command = {.name = "start",
                .aliases = "container start",
                .arguments = "CONTAINER...",
                .summary = "start containers that were made or have ended",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_start,
};
