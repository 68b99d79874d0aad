#include "cli/image_verb.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"

int image_verb_open(struct cli_context *context, struct image_store **store, struct error *err)
{
    scope_free char *directory = memory_format("%s/images", context->root);
    if (image_store_open(store, directory, err) < 0)
        return -1;
    image_store_set_warnings(*store, context->warnings);
    return 0;
}

int image_verb_run(struct cli_context *context,
                   int (*act)(struct cli_context *context, struct image_store *store,
                              struct error *err),
                   struct error *err)
{
    scope_image_store struct image_store *store = NULL;
    if (image_verb_open(context, &store, err) < 0 || act(context, store, err) < 0) {
        context->exit_status = 1;
        return -1;
    }
    return 0;
}

int image_verb_find(struct image_store *store, const char *name, struct image *image,
                    struct error *err)
{
    struct reference reference;
    int found = image_find(store, name, image, err);
    if (found == 0 && reference_parse(name, &reference, NULL) == 0 && image_is_default(&reference))
        found = image_make_default(store, image, err);
    if (found == 0)
        return error_set(err, 0, "no such image: %s (see 'hull images')", name);
    return found < 0 ? -1 : 0;
}

struct image_verb_id image_verb_show_id(const char *id, bool whole)
{
    struct image_verb_id shown;
    if (whole)
        snprintf(shown.text, sizeof shown.text, "%s", id);
    else
        snprintf(shown.text, sizeof shown.text, "%.12s", id + strlen("sha256:"));
    return shown;
}
