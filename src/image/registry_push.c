#include "image/registry_push.h"

int registry_client_push(struct image_store *store, const char *name,
                         const struct registry_push_options *options, struct error *err)
{
    (void)store, (void)options;
    return error_set(err, 0, "%s", name);
}
