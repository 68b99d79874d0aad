#include <stdio.h>

#include "cli/format.h"
#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    {.name = "format",
     .letter = 'f',
     .argument = "TEMPLATE",
     .help = "print json or a Go template"},
    {0},
};

/* Those that there are are shown; the first error is what the verb ends with. */
static int inspect(struct cli_context *context, struct volume_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    const char *format = command_value(line, "format");
    json_t *all = json_array();
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        struct error reason = {0};
        json_t *volume = volume_inspect(store, line->arguments[i], &reason);
        /* These are hull's own, for who prunes. */
        json_object_del(volume, "Anonymous");
        json_object_del(volume, "UseCount");
        if (!volume || (format && format_print_line(format, volume, stdout, &reason) < 0)) {
            if (status < 0)
                warnings_say(context->warnings, err);
            *err = reason;
            status = -1;
        }
        if (volume)
            json_array_append_new(all, volume);
    }
    if (!format) {
        json_dumpf(all, stdout, JSON_INDENT(4));
        putchar('\n');
    }
    json_decref(all);
    return status;
}

static int run_volume_inspect(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, inspect, err);
}

const struct cli_verb cli_volume_inspect = {
    .command = {.name = "volume inspect",
                .arguments = "VOLUME...",
                .summary = "show all that is known of volumes",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_volume_inspect,
};
