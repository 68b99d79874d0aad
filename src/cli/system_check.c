#include <stdio.h>

#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "quick", .help = "don't read the blobs to verify their digests"},
    {0},
};

static void print_fault(const char *fault, void *context)
{
    (void)context;
    printf("%s\n", fault);
}

static int check(struct cli_context *context, struct image_store *store, struct error *err)
{
    int faults =
        image_store_check(store, command_given(context->line, "quick"), print_fault, NULL, err);
    if (faults > 0)
        return error_set(err, 0, "the image store has %d fault%s", faults, faults > 1 ? "s" : "");
    return faults;
}

static int run_system_check(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, check, err);
}

const struct cli_verb cli_system_check = {
    .command = {.name = "system check",
                .summary = "verify what hull keeps",
                .description = "Prints a line for each fault, and fails if there is one.",
                .flags = flags},
    .run = run_system_check,
};
