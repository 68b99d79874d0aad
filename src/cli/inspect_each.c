#include "cli/inspect_each.h"

#include <stdio.h>

#include "cli/engine_verb.h"
#include "cli/format.h"
#include "monitor/document.h"

int inspect_each(struct cli_context *context, inspect_find *find, void *argument, struct error *err)
{
    const struct command_line *line = context->line;
    const char *format = command_value(line, "format");
    scope_json json_t *all = json_array();
    for (int i = 0; i < line->argument_count; i++) {
        json_t *object = find(argument, line->arguments[i], err);
        if (!object) {
            engine_verb_report(context, err);
            continue;
        }
        json_array_append_new(all, object);
        if (format && format_print_line(format, object, stdout, err) < 0)
            return -1;
    }
    if (!format) {
        json_dumpf(all, stdout, JSON_INDENT(4));
        putchar('\n');
    }
    return 0;
}
