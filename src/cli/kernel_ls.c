#include <stdio.h>
#include <time.h>

#include "cli/human.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "vm/image/kernel.h"

static const struct command_flag flags[] = {
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "quiet", .letter = 'q', .help = "print only names"},
    {0},
};

static const struct table_column columns[] = {
    {"Name", "NAME", false, false},
    {"Version", "VERSION", false, false},
    {"Size", "SIZE", false, false},
    {"CreatedSince", "CREATED", false, false},
    {"Default", "DEFAULT", false, false},
    {"Source", "SOURCE", true, true},
    {"Vmlinuz", "VMLINUZ", true, true},
    {"Vmlinux", "VMLINUX", true, true},
    {"Modules", "MODULES", true, true},
    {"Config", "CONFIG", true, true},
    {0},
};

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* The host's own kernel takes nothing of hull's room. */
static json_t *make_row(const struct kernel *kernel, time_t now)
{
    bool stored = kernel->created > 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Name", kernel->name,
                     "Version", *kernel->version ? kernel->version : "<unknown>", "Size",
                     stored ? human_size((uint64_t)kernel->size).text : "N/A", "CreatedSince",
                     stored ? human_age((time_t)kernel->created, now).text : "N/A", "Default",
                     kernel->is_default ? "*" : "", "Source", text_of(kernel->source), "Vmlinuz",
                     text_of(kernel->vmlinuz), "Vmlinux", text_of(kernel->vmlinux), "Modules",
                     text_of(kernel->modules), "Config", text_of(kernel->config));
}

static int run_kernel_ls(struct cli_context *context, struct error *err)
{
    scope_kernel_list struct kernel_list list = {0};
    context->exit_status = 1;
    if (kernel_list(context->root, &list, err) < 0)
        return -1;
    json_t *rows = json_array();
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(rows, make_row(&list.kernels[i], time(NULL)));
    int status = 0;
    if (command_given(context->line, "quiet") && !command_given(context->line, "format"))
        table_print_field(rows, "Name", stdout);
    else
        status =
            table_print(columns, rows, command_value(context->line, "format"), true, stdout, err);
    json_decref(rows);
    if (status == 0)
        context->exit_status = 0;
    return status;
}

const struct cli_verb cli_kernel_ls = {
    .command = {.name = "kernel ls",
                .aliases = "kernel list",
                .summary = "list kernels for virtual machines",
                .description =
                    "The one marked * is the default. 'host' is the kernel in the host's /boot, "
                    "which is the default while no other one is chosen; it is only listed where it "
                    "can be used.",
                .flags = flags},
    .run = run_kernel_ls,
    .runs_as_user = true,
};
