#include <stdio.h>

#include "base/scope.h"
#include "cli/verb.h"
#include "vm/image/kernel.h"

static const struct command_flag flags[] = {
    {.name = "config", .argument = "FILE", .help = "with --file: the kernel's configuration"},
    {.name = "file", .argument = "FILE", .help = "take a bzImage or an ELF vmlinux from here"},
    {.name = "modules",
     .argument = "DIRECTORY",
     .help = "with --file: its modules, such as /lib/modules/VERSION"},
    {.name = "package",
     .argument = "PACKAGE",
     .help = "which package of the distribution to take it from",
     .default_text = "the kernel for clouds"},
    {.name = "quiet", .letter = 'q', .help = "print only the name"},
    {0},
};

static void print_note(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    fprintf(stderr, "%s\n", text);
}

static int check(const struct command_line *line, struct error *err)
{
    bool file = command_given(line, "file");
    if (file && command_given(line, "package"))
        return error_set(err, 0, "either --file or --package");
    if (!file && (command_given(line, "modules") || command_given(line, "config")))
        return error_set(err, 0, "--modules and --config go with --file; a package has its own");
    return 0;
}

static int run_kernel_pull(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    if (check(line, err) < 0)
        return -1;
    const struct warnings notes = {NULL, command_given(line, "quiet") ? NULL : print_note};
    const struct kernel_addition addition = {
        .name = line->argument_count > 0 ? line->arguments[0] : NULL,
        .file = command_value(line, "file"),
        .modules = command_value(line, "modules"),
        .config = command_value(line, "config"),
    };
    scope_free char *name = NULL;
    int status = addition.file ? kernel_add(context->root, &addition, &name, err)
                               : kernel_pull(context->root, command_value(line, "package"),
                                             addition.name, &notes, &name, err);
    if (status < 0) {
        context->exit_status = 1;
        return -1;
    }
    printf("%s\n", name);
    return 0;
}

const struct cli_verb cli_kernel_pull = {
    .command =
        {.name = "kernel pull",
         .aliases = "kernel add",
         .arguments = "[NAME]",
         .summary = "get a kernel for virtual machines",
         .description =
             "Downloads the distribution's kernel for clouds with apt-get, and keeps it with its "
             "modules; nothing is installed. With --file it is any kernel for x86-64. NAME is what "
             "it is called here, by default its version; one of that name is replaced. The first "
             "kernel becomes the default; 'hull kernel use' chooses another one.\n"
             "A bzImage is unpacked once, so that no machine has to do it at its start.\n"
             "\n"
             "  hull kernel pull\n"
             "  hull kernel pull --package linux-image-amd64 full\n"
             "  hull kernel pull --file build/guest-kernel/vmlinuz minimal",
         .flags = flags,
         .max_arguments = 1},
    .run = run_kernel_pull,
    .runs_as_user = true,
};
