#include "cli/container_verb.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/quantity.h"
#include "container/signals.h"

int container_verb_open(struct cli_context *context, struct engine **engine, struct error *err)
{
    const struct engine_options options = {
        .root = context->root,
        .run_root = context->run_root,
        .warnings = context->warnings,
    };
    return engine_open(engine, &options, err);
}

int container_verb_each(struct cli_context *context, const struct container_verb_each *each,
                        struct error *err)
{
    scope_engine struct engine *engine = NULL;
    const struct command_line *line = context->line;
    if (container_verb_open(context, &engine, err) < 0) {
        context->exit_status = 1;
        return -1;
    }
    for (int i = 0; i < line->argument_count; i++) {
        scope_container struct engine_container container = {0};
        struct error why;
        if (engine_find(engine, line->arguments[i], &container, &why) < 0 ||
            each->act(context, engine, &container, each->argument, &why) < 0) {
            fprintf(stderr, "hull: %s: %s\n", line->verb->name, why.text);
            if (why.code != ENOENT || !each->bears_absence)
                context->exit_status = 1;
        } else if (!each->prints_itself) {
            printf("%s\n", line->arguments[i]);
        }
    }
    return 0;
}

int container_verb_one(struct cli_context *context,
                       int (*act)(struct cli_context *context, struct engine *engine,
                                  const struct engine_container *container, struct error *err),
                       struct error *err)
{
    scope_engine struct engine *engine = NULL;
    scope_container struct engine_container container = {0};
    if (container_verb_open(context, &engine, err) == 0 &&
        engine_find(engine, context->line->arguments[0], &container, err) == 0 &&
        act(context, engine, &container, err) == 0)
        return 0;
    if (context->exit_status == 0)
        context->exit_status = 1;
    return -1;
}

int container_verb_timeout(const struct cli_context *context, const char *flag, int *milliseconds,
                           struct error *err)
{
    int64_t seconds;
    const char *text = command_value(context->line, flag);
    *milliseconds = INT_MIN;
    if (!text)
        return 0;
    if (!quantity_read_integer(text, -1, INT_MAX / 1000, &seconds))
        return error_set(err, 0, "--%s '%s': expected seconds, or -1 for any time", flag, text);
    *milliseconds = seconds < 0 ? -1 : (int)seconds * 1000;
    return 0;
}

int container_verb_signal(const struct cli_context *context, const char *flag, int *signal,
                          struct error *err)
{
    const char *text = command_value(context->line, flag);
    *signal = text ? signals_parse(text) : 0;
    if (text && *signal < 1)
        return error_set(err, 0, "--%s '%s': there is no such signal", flag, text);
    return 0;
}
