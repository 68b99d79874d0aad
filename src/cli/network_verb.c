#include "cli/network_verb.h"

#include "cli/container_verb.h"

int network_verb_run(struct cli_context *context,
                     int (*act)(struct cli_context *context, struct engine *engine,
                                struct networks *networks, struct error *err),
                     struct error *err)
{
    scope_engine struct engine *engine = NULL;
    struct networks *networks = NULL;
    if (container_verb_open(context, &engine, err) == 0)
        networks = engine_networks(engine, err);
    if (networks && act(context, engine, networks, err) == 0)
        return 0;
    context->exit_status = 1;
    return -1;
}

int network_verb_each(struct cli_context *context, struct networks *networks,
                      int (*act)(struct cli_context *context, struct networks *networks,
                                 const char *name, void *argument, struct error *err),
                      void *argument, struct error *err)
{
    const struct command_line *line = context->line;
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        struct error reason = {0};
        if (act(context, networks, line->arguments[i], argument, &reason) == 0)
            continue;
        if (status < 0)
            warnings_say(context->warnings, err);
        *err = reason;
        status = -1;
    }
    return status;
}
