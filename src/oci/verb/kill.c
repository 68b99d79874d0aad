#include "container/container.h"
#include "container/signals.h"
#include "oci/verb/verb.h"

int verb_kill(struct verb_context *context, struct error *err)
{
    const char *name = context->line->argument_count > 1 ? context->line->arguments[1] : "TERM";
    int signal = signals_parse(name);
    if (signal < 0)
        return error_set(err, 0, "unknown signal '%s'", name);
    return container_kill(context->root, verb_id(context), signal,
                          command_given(context->line, "all"), err);
}
