#include "cli/ps.h"

#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "cli/engine_verb.h"
#include "cli/table.h"
#include "monitor/document.h"

static const struct command_flag flags[] = {
    {.name = "all", .letter = 'a', .help = "show those that don't run, too"},
    {.name = "filter",
     .letter = 'f',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only those that ancestor, before, exited, expose, health, id, label, name, network, "
             "publish, since, status or volume say"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "last", .letter = 'n', .argument = "N", .help = "the last N made, running or not"},
    {.name = "latest", .letter = 'l', .help = "the last one made, running or not"},
    {.name = "no-trunc", .help = "don't cut ids and commands"},
    {.name = "quiet", .letter = 'q', .help = "print only ids"},
    {.name = "size", .letter = 's', .help = "show how much their files take"},
    {0},
};

#define COLUMNS(no_size)                                                                           \
    {                                                                                              \
        {"ID", "CONTAINER ID", false, false}, {"Image", "IMAGE", true, false},                     \
            {"Command", "COMMAND", true, false}, {"RunningFor", "CREATED", true, false},           \
            {"Status", "STATUS", true, false}, {"Ports", "PORTS", true, false},                    \
            {"Names", "NAMES", true, false}, {"Size", "SIZE", false, no_size},                     \
            {"CreatedAt", "CREATED AT", false, true}, {"Labels", "LABELS", false, true},           \
            {"LocalVolumes", "LOCAL VOLUMES", false, true}, {"Mounts", "MOUNTS", false, true},     \
            {"Networks", "NETWORKS", false, true}, {"State", "STATE", false, true}, {0},           \
    }

static const struct table_column columns[] = COLUMNS(true), columns_with_size[] = COLUMNS(false);

/* A template that asks for sizes gets them without --size. */
static bool wants_size(const struct command_line *line)
{
    const char *format = command_value(line, "format");
    return command_given(line, "size") || (format && strstr(format, ".Size"));
}

static int add_row(const struct command_line *line, struct engine *engine,
                   const struct ps_filter *filter, const struct engine_container *container,
                   bool all, json_t *rows, struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool is_wanted = all || engine_is_up(&status);
    monitor_status_release(&status);
    if (!is_wanted)
        return 0;
    bool with_size = wants_size(line);
    scope_json json_t *document = engine_inspect(engine, container, with_size, err);
    if (!document)
        return -1;
    if (ps_filter_passes(filter, container, document))
        json_array_append_new(rows,
                              ps_make_row(document, command_given(line, "no-trunc"), with_size));
    return 0;
}

static int make_rows(const struct command_line *line, struct engine *engine,
                     const struct ps_filter *filter, int64_t last, json_t *rows, struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    bool all = command_given(line, "all") || last >= 0 || ps_filter_wants_all(filter);
    if (engine_list(engine, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        struct error failure = {0};
        if (last >= 0 && json_array_size(rows) >= (size_t)last)
            break;
        if (add_row(line, engine, filter, &list.items[i], all, rows, &failure) < 0) {
            scope_container struct engine_container again = {0};
            /* Removed meanwhile: not listed. */
            if (engine_find(engine, list.items[i].id, &again, NULL) == 0) {
                *err = failure;
                return -1;
            }
        }
    }
    return 0;
}

static int print_containers(struct cli_context *context, struct engine *engine, struct error *err)
{
    struct command_line *line = context->line;
    const char *last_text = command_value(line, "last");
    int64_t last = command_given(line, "latest") ? 1 : -1;
    struct ps_filter filter = {.engine = engine};
    filter.count = command_values(line, "filter", &filter.filters);
    if (last_text && !quantity_read_integer(last_text, -1, INT32_MAX, &last))
        return error_set(err, 0, "--last '%.64s': not a number of containers", last_text);
    scope_json json_t *rows = json_array();
    int status = ps_filter_prepare(&filter, err);
    if (status == 0)
        status = make_rows(line, engine, &filter, last, rows, err);
    ps_filter_release(&filter);
    if (status < 0)
        return -1;
    const char *format = command_value(line, "format");
    if (command_given(line, "quiet") && !format) {
        table_print_field(rows, "ID", stdout);
        return 0;
    }
    return table_print(command_given(line, "size") ? columns_with_size : columns, rows, format,
                       !command_given(line, "no-trunc"), stdout, err);
}

static int run_ps(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, print_containers, err);
}

const struct cli_verb cli_ps = {
    .command = {.name = "ps",
                .aliases = "container ls,container list,container ps",
                .summary = "list containers",
                .flags = flags},
    .run = run_ps,
};
