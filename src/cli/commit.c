#include "engine/commit.h"

#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "cli/container_verb.h"

static const struct command_flag flags[] = {
    {.name = "author", .letter = 'a', .argument = "NAME", .help = "who made the image"},
    {.name = "change",
     .letter = 'c',
     .argument = "INSTRUCTION",
     .repeats = true,
     .help = "apply a Dockerfile's instruction, such as 'CMD [\"sh\"]'"},
    {.name = "message", .letter = 'm', .argument = "TEXT", .help = "a comment for the history"},
    {.name = "pause",
     .letter = 'p',
     .help = "freeze the container meanwhile",
     .default_text = "true"},
    {0},
};

static int commit(struct cli_context *context, struct engine *engine,
                  const struct engine_container *container, struct error *err)
{
    struct command_line *line = context->line;
    scope_image struct image image = {0};
    struct reference reference;
    const char **changes;
    const char *pause = command_value(line, "pause");
    struct engine_commit wanted = {.author = command_value(line, "author"),
                                   .message = command_value(line, "message"),
                                   .pause = !pause || strcmp(pause, "true") == 0};
    wanted.change_count = command_values(line, "change", &changes);
    wanted.changes = changes;
    if (line->argument_count > 1) {
        if (reference_parse(line->arguments[1], &reference, err) < 0)
            return -1;
        if (*reference.digest)
            return error_set(err, 0, "'%s': a name with a digest can't be given",
                             line->arguments[1]);
        reference_default_tag(&reference);
        wanted.reference = &reference;
    }
    if (engine_commit(engine, container, &wanted, &image, err) < 0)
        return -1;
    printf("%s\n", image.id);
    return 0;
}

static int run_commit(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, commit, err);
}

const struct cli_verb cli_commit = {
    .command = {.name = "commit",
                .aliases = "container commit",
                .arguments = "CONTAINER [NAME[:TAG]]",
                .summary = "make an image of a container's changes",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 2},
    .run = run_commit,
};
