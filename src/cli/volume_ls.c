#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/table.h"
#include "cli/volume_verb.h"

static const struct command_flag flags[] = {
    {.name = "filter",
     .letter = 'f',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only volumes that dangling, driver, label or name say"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "quiet", .letter = 'q', .help = "print only names"},
    {0},
};

static const struct table_column columns[] = {
    {"Driver", "DRIVER", false, false},
    {"Name", "VOLUME NAME", false, false},
    {"Availability", "AVAILABILITY", false, true},
    {"Group", "GROUP", false, true},
    {"Labels", "LABELS", false, true},
    {"Links", "LINKS", false, true},
    {"Mountpoint", "MOUNTPOINT", false, true},
    {"Scope", "SCOPE", false, true},
    {"Size", "SIZE", false, true},
    {"Status", "STATUS", false, true},
    {0},
};

/* "a=1,b=2" */
static char *join_labels(const json_t *labels)
{
    const char *key;
    json_t *value;
    char *text = memory_copy_string("");
    json_object_foreach((json_t *)labels, key, value)
    {
        scope_free char *former = text;
        text =
            memory_format("%s%s%s=%s", former, *former ? "," : "", key, json_string_value(value));
    }
    return text;
}

/* "N/A" stands where docker has it too: in a list nobody measures sizes, and groups are a
 * cluster's.
 */
static json_t *make_row(const json_t *volume)
{
    json_t *labels = json_object_get(volume, "Labels");
    scope_free char *joined = join_labels(labels);
    return json_pack("{s:s, s:O, s:s, s:s, s:s, s:O, s:O, s:O, s:s, s:s, s:O}", "Availability",
                     "N/A", "Driver", json_object_get(volume, "Driver"), "Group", "N/A", "Labels",
                     joined, "Links", "N/A", "Mountpoint", json_object_get(volume, "Mountpoint"),
                     "Name", json_object_get(volume, "Name"), "Scope",
                     json_object_get(volume, "Scope"), "Size", "N/A", "Status", "N/A", "Label",
                     labels);
}

static int list(struct cli_context *context, struct volume_store *store, struct error *err)
{
    struct command_line *line = context->line;
    struct volume_filter filter = {0};
    filter.count = command_values(line, "filter", &filter.filters);
    if (volume_filter_check(&filter, "dangling driver label name", err) < 0)
        return -1;
    json_t *volumes = volume_list(store, err), *volume;
    if (!volumes)
        return -1;
    json_t *rows = json_array();
    size_t i;
    json_array_foreach(volumes, i, volume)
    {
        if (volume_filter_passes(&filter, volume))
            json_array_append_new(rows, make_row(volume));
    }
    int status = 0;
    if (command_given(line, "quiet") && !command_given(line, "format"))
        table_print_field(rows, "Name", stdout);
    else
        status = table_print(columns, rows, command_value(line, "format"), true, stdout, err);
    json_decref(rows);
    json_decref(volumes);
    return status;
}

static int run_volume_ls(struct cli_context *context, struct error *err)
{
    return volume_verb_run(context, list, err);
}

const struct cli_verb cli_volume_ls = {
    .command = {.name = "volume ls",
                .aliases = "volume list",
                .summary = "list volumes",
                .flags = flags},
    .run = run_volume_ls,
};
