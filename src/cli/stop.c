/* `hull stop`, `hull restart` and `hull kill`. */
#include <signal.h>

#include "cli/container_verb.h"

struct request {
    int (*send)(struct engine *engine, const struct engine_container *container, int signal,
                int timeout, struct error *err);
    int signal, timeout;
};

static int send_request(struct cli_context *context, struct engine *engine,
                        const struct engine_container *container, void *argument, struct error *err)
{
    (void)context;
    const struct request *request = argument;
    return request->send(engine, container, request->signal, request->timeout, err);
}

static int send_requests(struct cli_context *context, struct request *request, struct error *err)
{
    const struct container_verb_each each = {.act = send_request, .argument = request};
    return container_verb_each(context, &each, err);
}

static const struct command_flag stop_flags[] = {
    {.name = "signal", .letter = 's', .argument = "SIGNAL", .help = "the signal to send first"},
    {.name = "timeout",
     .letter = 't',
     .argument = "SECONDS",
     .help = "when to kill what hasn't ended; -1: never",
     .default_text = "10, or --stop-timeout of run"},
    {.name = "time", .argument = "SECONDS", .help = "", .hidden = true},
    {0},
};

static int read_stop_flags(struct cli_context *context, struct request *request, struct error *err)
{
    const char *flag = command_value(context->line, "time") ? "time" : "timeout";
    if (container_verb_signal(context, "signal", &request->signal, err) < 0 ||
        container_verb_timeout(context, flag, &request->timeout, err) < 0) {
        context->exit_status = 1;
        return -1;
    }
    return 0;
}

static int run_stop(struct cli_context *context, struct error *err)
{
    struct request request = {.send = engine_stop};
    return read_stop_flags(context, &request, err) < 0 ? -1 : send_requests(context, &request, err);
}

const struct cli_verb cli_stop = {
    .command = {.name = "stop",
                .aliases = "container stop",
                .arguments = "CONTAINER...",
                .summary = "stop running containers",
                .flags = stop_flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_stop,
};

static int run_restart(struct cli_context *context, struct error *err)
{
    struct request request = {.send = engine_restart};
    return read_stop_flags(context, &request, err) < 0 ? -1 : send_requests(context, &request, err);
}

const struct cli_verb cli_restart = {
    .command = {.name = "restart",
                .aliases = "container restart",
                .arguments = "CONTAINER...",
                .summary = "stop containers and start them again",
                .flags = stop_flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_restart,
};

static const struct command_flag kill_flags[] = {
    {.name = "signal",
     .letter = 's',
     .argument = "SIGNAL",
     .help = "the signal to send",
     .default_text = "KILL"},
    {0},
};

static int send_kill(struct engine *engine, const struct engine_container *container, int signal,
                     int timeout, struct error *err)
{
    (void)timeout;
    return engine_kill(engine, container, signal ? signal : SIGKILL, err);
}

static int run_kill(struct cli_context *context, struct error *err)
{
    struct request request = {.send = send_kill};
    if (container_verb_signal(context, "signal", &request.signal, err) == 0)
        return send_requests(context, &request, err);
    context->exit_status = 1;
    return -1;
}

const struct cli_verb cli_kill = {
    .command = {.name = "kill",
                .aliases = "container kill",
                .arguments = "CONTAINER...",
                .summary = "send a signal to running containers",
                .flags = kill_flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_kill,
};
