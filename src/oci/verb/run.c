#include "container/container.h"
#include "oci/verb/container_options.h"
#include "oci/verb/verb.h"

int verb_run(struct verb_context *context, struct error *err)
{
    struct container_options options;
    if (container_options_read(&options, context, err) < 0)
        return -1;
    options.detach = command_given(context->line, "detach");
    options.keep = command_given(context->line, "keep");
    options.subreaper = !command_given(context->line, "no-subreaper");
    return container_run(&options, &context->exit_status, err);
}
