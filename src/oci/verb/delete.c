#include "container/container.h"
#include "oci/verb/verb.h"

int verb_delete(struct verb_context *context, struct error *err)
{
    return container_delete(context->root, verb_id(context), command_given(context->line, "force"),
                            context->warnings, err);
}
