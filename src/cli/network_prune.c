#include <stdio.h>

#include "cli/network_verb.h"
#include "cli/prompt.h"

static const struct command_flag flags[] = {
    {.name = "filter",
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only networks that until, label or label! say"},
    {.name = "force", .letter = 'f', .help = "don't ask"},
    {0},
};

/* One that can't be told counts as used. */
static bool is_used(void *context, const char *network_id)
{
    return engine_network_is_used(context, network_id, NULL) != 0;
}

static int prune(struct cli_context *context, struct engine *engine, struct networks *networks,
                 struct error *err)
{
    struct command_line *line = context->line;
    const char **filters;
    char **names;
    size_t count, filter_count = command_values(line, "filter", &filters);
    if (!command_given(line, "force") &&
        !prompt_confirm("This will remove all custom networks not used by at least one container."))
        return 0;
    if (network_prune(networks, is_used, engine, filters, filter_count, &names, &count, err) < 0)
        return -1;
    if (count > 0)
        printf("Deleted Networks:\n");
    for (size_t i = 0; i < count; i++)
        printf("%s\n", names[i]);
    if (count > 0)
        printf("\n");
    network_free_names(names, count);
    return 0;
}

static int run_network_prune(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, prune, err);
}

const struct cli_verb cli_network_prune = {
    .command = {.name = "network prune",
                .summary = "remove networks that no container uses",
                .flags = flags},
    .run = run_network_prune,
};
