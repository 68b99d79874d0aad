#include <stdio.h>

#include "cli/human.h"
#include "cli/prompt.h"
#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    {.name = "all", .letter = 'a', .help = "volumes that have been given a name too"},
    {.name = "filter",
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only volumes with the label, or with label!= without it"},
    {.name = "force", .letter = 'f', .help = "don't ask"},
    {0},
};

static bool is_wanted(const json_t *volume, void *filter)
{
    return volume_filter_passes(filter, volume);
}

static void print_removed(const json_t *removed)
{
    size_t i;
    json_t *name;
    if (json_array_size(removed) > 0)
        printf("Deleted Volumes:\n");
    json_array_foreach(removed, i, name)
    {
        printf("%s\n", json_string_value(name));
    }
    if (json_array_size(removed) > 0)
        printf("\n");
}

static int prune(struct cli_context *context, struct volume_store *store, struct error *err)
{
    struct command_line *line = context->line;
    struct volume_filter filter = {0};
    filter.count = command_values(line, "filter", &filter.filters);
    if (volume_filter_check(&filter, "label label!", err) < 0)
        return -1;
    bool all = command_given(line, "all");
    const char *warning = all ? "This will remove all local volumes not used by at least one "
                                "container."
                              : "This will remove anonymous local volumes not used by at least one "
                                "container.";
    if (!command_given(line, "force") && !prompt_confirm(warning))
        return 0;
    long long bytes = 0;
    json_t *removed = volume_prune(store, all, is_wanted, &filter, &bytes, err);
    if (!removed)
        return -1;
    print_removed(removed);
    printf("Total reclaimed space: %s\n", human_size((uint64_t)bytes).text);
    json_decref(removed);
    return 0;
}

static int run_volume_prune(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, prune, err);
}

const struct cli_verb cli_volume_prune = {
    .command = {.name = "volume prune",
                .summary = "remove volumes that no container uses",
                .description =
                    "Without --all only anonymous ones. Of what a killed process has removed by "
                    "halves the rest goes too.",
                .flags = flags},
    .run = run_volume_prune,
};
