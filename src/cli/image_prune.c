#include <stdio.h>
#include <string.h>

#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/prompt.h"

static const struct command_flag flags[] = {
    {.name = "all",
     .letter = 'a',
     .help = "all images that no container uses, not only dangling ones"},
    {.name = "filter",
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only images that until or label say"},
    {.name = "force", .letter = 'f', .help = "don't ask"},
    {0},
};

static bool passes(const struct image *image, const void *context)
{
    return image_filter_passes(context, image, NULL);
}

static int prune(struct cli_context *context, struct image_store *store, struct error *err)
{
    struct command_line *line = context->line;
    scope_image_removal struct image_removal removal = {0};
    struct image_filter filter = {.store = store};
    filter.count = command_values(line, "filter", &filter.filters);
    const struct image_prune_options options = {
        .all = command_given(line, "all"), .wanted = passes, .context = &filter};
    if (image_filter_check(&filter, "until label label! dangling", err) < 0)
        return -1;
    const char *warning =
        options.all
            ? "This will remove all images without at least one container associated to them."
            : "This will remove all dangling images.";
    if (!command_given(line, "force") && !prompt_confirm(warning))
        return 0;
    int status = image_prune(store, &options, &removal, err);
    if (removal.untagged_count + removal.deleted_count > 0)
        printf("Deleted Images:\n");
    for (size_t i = 0; i < removal.untagged_count; i++)
        printf("untagged: %s\n", removal.untagged[i]);
    for (size_t i = 0; i < removal.deleted_count; i++)
        printf("deleted: %s\n", removal.deleted[i]);
    if (removal.untagged_count + removal.deleted_count > 0)
        printf("\n");
    printf("Total reclaimed space: %s\n", human_size((uint64_t)removal.reclaimed).text);
    return status;
}

static int run_image_prune(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, prune, err);
}

const struct cli_verb cli_image_prune = {
    .command = {.name = "image prune",
                .summary = "remove images that aren't used, and what broken-off pulls left",
                .flags = flags},
    .run = run_image_prune,
};
