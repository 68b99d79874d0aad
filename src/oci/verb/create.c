#include "container/container.h"
#include "oci/verb/container_options.h"
#include "oci/verb/verb.h"

int verb_create(struct verb_context *context, struct error *err)
{
    struct container_options options;
    if (container_options_read(&options, context, err) < 0)
        return -1;
    return container_create(&options, err);
}
