#include "container/container.h"
#include "oci/verb/verb.h"

int verb_start(struct verb_context *context, struct error *err)
{
    return container_start(context->root, verb_id(context), err);
}
