#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "cli/human.h"
#include "cli/network_verb.h"
#include "cli/table.h"

static const struct command_flag flags[] = {
    {.name = "filter",
     .letter = 'f',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only networks that dangling, driver, id, label, name, scope or type say"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "no-trunc", .help = "don't cut ids"},
    {.name = "quiet", .letter = 'q', .help = "print only ids"},
    {0},
};

static const struct table_column columns[] = {
    {"ID", "NETWORK ID", false, false},
    {"Name", "NAME", true, false},
    {"Driver", "DRIVER", false, false},
    {"Scope", "SCOPE", false, false},
    {"CreatedAt", "CREATED AT", false, true},
    {"IPv6", "IPV6", false, true},
    {"Internal", "INTERNAL", false, true},
    {"Labels", "LABELS", false, true},
    {0},
};

static char *join_labels(const json_t *labels)
{
    char *text = NULL;
    size_t size;
    const char *key, *separator = "";
    json_t *value;
    FILE *out = open_memstream(&text, &size);
    json_object_foreach((json_t *)labels, key, value)
    {
        fprintf(out, "%s%s=%s", separator, key, json_string_value(value));
        separator = ",";
    }
    fclose(out);
    return text;
}

static json_t *make_row(const struct network_description *network, bool whole)
{
    scope_free char *labels = join_labels(network->labels);
    scope_free char *id = memory_format("%.*s", whole ? NETWORK_ID_SIZE : 12, network->id);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "ID", id, "Name",
                     network->name, "Driver", network->driver, "Scope", "local", "CreatedAt",
                     human_time(network->created).text, "IPv6", network->ipv6 ? "true" : "false",
                     "Internal", network->internal ? "true" : "false", "Labels", labels, "Label",
                     network->labels);
}

static int list(struct cli_context *context, struct engine *engine, struct networks *networks,
                struct error *err)
{
    struct command_line *line = context->line;
    struct network_description *found;
    const char **filters;
    size_t count, filter_count = command_values(line, "filter", &filters);
    (void)engine;
    if (network_list(networks, filters, filter_count, &found, &count, err) < 0)
        return -1;
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, make_row(&found[i], command_given(line, "no-trunc")));
    network_list_release(found, count);
    int status = 0;
    if (command_given(line, "quiet") && !command_given(line, "format"))
        table_print_field(rows, "ID", stdout);
    else
        status = table_print(columns, rows, command_value(line, "format"),
                             !command_given(line, "no-trunc"), stdout, err);
    json_decref(rows);
    return status;
}

static int run_network_ls(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, list, err);
}

const struct cli_verb cli_network_ls = {
    .command = {.name = "network ls",
                .aliases = "network list",
                .summary = "list networks",
                .flags = flags},
    .run = run_network_ls,
};
