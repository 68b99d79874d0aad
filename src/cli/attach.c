#include <string.h>

#include "cli/container_verb.h"

static const struct command_flag flags[] = {
    {.name = "detach-keys", .argument = "KEYS", .help = "keys that detach from the container"},
    {.name = "no-stdin", .help = "don't pass standard input on"},
    {.name = "sig-proxy", .help = "pass signals on to its program", .default_text = "true"},
    {0},
};

static int check_state(struct engine *engine, const struct engine_container *container,
                       struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    enum monitor_state state = status.state;
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    if (!is_up)
        return error_set(err, 0, "container %s is not running (start it with 'hull start')",
                         container->name);
    if (state == MONITOR_PAUSED)
        return error_set(err, 0, "container %s is paused (use 'hull unpause')", container->name);
    return 0;
}

static int attach(struct cli_context *context, struct engine *engine,
                  const struct engine_container *container, struct error *err)
{
    const struct command_line *line = context->line;
    const char *proxy = command_value(line, "sig-proxy");
    bool has_terminal = json_is_true(json_object_get(container->settings, "Tty"));
    bool has_input = json_is_true(json_object_get(container->settings, "OpenStdin"));
    const struct container_session session = {
        .flags = MONITOR_ATTACH_STDOUT | (has_terminal ? 0 : MONITOR_ATTACH_STDERR) |
                 (has_input && !command_given(line, "no-stdin") ? MONITOR_ATTACH_STDIN : 0),
        .pass_signals = !proxy || strcmp(proxy, "true") == 0,
        .detach_keys = command_value(line, "detach-keys"),
    };
    if (check_state(engine, container, err) < 0)
        return -1;
    return container_session_run(engine, container, &session, &context->exit_status, err);
}

static int run_attach(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, attach, err);
}

const struct cli_verb cli_attach = {
    .command = {.name = "attach",
                .aliases = "container attach",
                .arguments = "CONTAINER",
                .summary = "connect this terminal with a running container",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_attach,
};
