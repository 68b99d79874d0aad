#include <stdio.h>

#include "cli/format.h"
#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .argument = "TEMPLATE",
     .help = "print json or a Go template"},
    {0},
};

static int inspect(struct cli_context *context, struct image_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    const char *format = command_value(line, "format");
    json_t *all = json_array();
    int status = 0;
    for (int i = 0; status == 0 && i < line->argument_count; i++) {
        scope_image struct image image = {0};
        status = image_verb_find(store, line->arguments[i], &image, err);
        if (status < 0)
            break;
        json_t *object = image_describe(store, &image);
        if (format)
            status = format_print_line(format, object, stdout, err);
        json_array_append_new(all, object);
    }
    if (!format && (status == 0 || json_array_size(all) > 0)) {
        json_dumpf(all, stdout, JSON_INDENT(4));
        putchar('\n');
    }
    json_decref(all);
    return status;
}

static int run_image_inspect(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, inspect, err);
}

const struct cli_verb cli_image_inspect = {
    .command = {.name = "image inspect",
                .arguments = "IMAGE...",
                .summary = "show all that is known of images",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_image_inspect,
};
