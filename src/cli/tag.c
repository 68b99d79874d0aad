#include "cli/image_verb.h"

static int tag(struct cli_context *context, struct image_store *store, struct error *err)
{
    scope_image struct image image = {0};
    struct reference reference;
    char **names = context->line->arguments;
    if (reference_parse(names[1], &reference, err) < 0 ||
        image_verb_find(store, names[0], &image, err) < 0)
        return -1;
    return image_tag(store, &image, &reference, err);
}

static int run_tag(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, tag, err);
}

const struct cli_verb cli_tag = {
    .command = {.name = "tag",
                .aliases = "image tag",
                .arguments = "IMAGE NAME[:TAG]",
                .summary = "give an image another name",
                .min_arguments = 2,
                .max_arguments = 2},
    .run = run_tag,
};
