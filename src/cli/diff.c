#include "engine/diff.h"

#include <stdio.h>

#include "base/scope.h"
#include "cli/container_verb.h"

static int print_changes(struct cli_context *context, struct engine *engine,
                         const struct engine_container *container, struct error *err)
{
    scope_engine_changes struct engine_changes changes = {0};
    (void)context;
    if (engine_diff(engine, container, &changes, err) < 0)
        return -1;
    for (size_t i = 0; i < changes.count; i++)
        printf("%c %s\n", "CAD"[changes.items[i].kind], changes.items[i].path);
    return 0;
}

static int run_diff(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, print_changes, err);
}

const struct cli_verb cli_diff = {
    .command = {.name = "diff",
                .aliases = "container diff",
                .arguments = "CONTAINER",
                .summary = "show how a container's files differ from its image's",
                .description = "A path a line, after A where it was added, C changed, D deleted.",
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_diff,
};
