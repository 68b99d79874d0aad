#include <stdio.h>
#include <string.h>

#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    {.name = "driver",
     .letter = 'd',
     .argument = "DRIVER",
     .help = "who keeps it",
     .default_text = "local, which is the only one"},
    {.name = "label", .argument = "KEY=VALUE", .repeats = true, .help = "note this with it"},
    {.name = "name", .argument = "NAME", .help = "the same as the argument", .hidden = true},
    {.name = "opt",
     .letter = 'o',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "mount what type, device and o say"},
    {0},
};

static int create(struct cli_context *context, struct volume_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    char name[VOLUME_NAME_SIZE];
    const char *named = command_value(line, "name");
    if (named && line->argument_count > 0 && strcmp(named, line->arguments[0]) != 0)
        return error_set(err, 0, "two names, '%s' and '%s' (give one of them)", named,
                         line->arguments[0]);
    json_t *labels = volume_verb_read_map(context, "label", err);
    json_t *options = labels ? volume_verb_read_map(context, "opt", err) : NULL;
    const struct volume_request request = {
        .name = named || line->argument_count == 0 ? named : line->arguments[0],
        .driver = command_value(line, "driver"),
        .labels = labels,
        .options = options,
    };
    int status = options ? volume_create(store, &request, name, err) : -1;
    json_decref(labels);
    json_decref(options);
    if (status == 0)
        printf("%s\n", name);
    return status;
}

static int run_volume_create(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, create, err);
}

const struct cli_verb cli_volume_create = {
    .command = {.name = "volume create",
                .arguments = "[VOLUME]",
                .summary = "make a volume",
                .description =
                    "Prints its name, which is a random one where none is given. A volume of that "
                    "name that is there already is left as it is.\n\n"
                    "With -o type and device a file system is mounted in it while a container uses "
                    "it:\n"
                    "    hull volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch\n"
                    "    hull volume create -o type=none -o o=bind -o device=/srv/data data",
                .flags = flags,
                .max_arguments = 1,
                .makes_object = true},
    .run = run_volume_create,
};
