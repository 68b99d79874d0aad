#include <stdio.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "quick", .help = "don't read the blobs to verify their digests"},
    {.name = "repair",
     .help = "first remove what killed commands left, and end what lost its "
             "monitor, as 'hull system prune' does"},
    {0},
};

static void print_fault(const char *fault, void *context)
{
    (void)context;
    printf("%s\n", fault);
}

/* Each returns the number of faults, or -1. */

static int check_images(struct cli_context *context, struct image_store *store, struct error *err)
{
    return image_store_check(store, command_given(context->line, "quick"), print_fault, NULL, err);
}

static int check_engine(struct engine *engine, struct error *err)
{
    json_t *findings = json_array(), *finding;
    size_t i;
    int result = engine_check(engine, findings, err);
    json_array_foreach(findings, i, finding) print_fault(json_string_value(finding), NULL);
    int count = (int)json_array_size(findings);
    json_decref(findings);
    return result < 0 ? -1 : count;
}

static int repair_images(struct image_store *images, struct error *err)
{
    scope_image_removal struct image_removal removal = {0};
    return image_prune(images, NULL, &removal, err);
}

static int repair(struct engine *engine, struct image_store *images, struct error *err)
{
    return engine_reconcile(engine, false, err) == 0 ? repair_images(images, err) : -1;
}

/* With all that is in the database. */
static int check_all(struct cli_context *context, struct error *err)
{
    scope_engine struct engine *engine = NULL;
    if (container_verb_open(context, &engine, err) < 0)
        return -1;
    struct image_store *images = engine_images(engine, err);
    if (!images || (command_given(context->line, "repair") && repair(engine, images, err) < 0))
        return -1;
    int faults = check_images(context, images, err);
    int others = faults < 0 ? -1 : check_engine(engine, err);
    return others < 0 ? -1 : faults + others;
}

/* A store of images alone has no database, and gets none here. */
static int check_store(struct cli_context *context, struct error *err)
{
    scope_image_store struct image_store *store = NULL;
    if (image_verb_open(context, &store, err) < 0 ||
        (command_given(context->line, "repair") && repair_images(store, err) < 0))
        return -1;
    return check_images(context, store, err);
}

static int run_system_check(struct cli_context *context, struct error *err)
{
    scope_free char *database = memory_format("%s/hull.db", context->root);
    int faults = access(database, F_OK) == 0 ? check_all(context, err) : check_store(context, err);
    if (faults == 0)
        return 0;
    context->exit_status = 1;
    if (faults < 0)
        return -1;
    return error_set(err, 0, "%d fault%s found%s", faults, faults > 1 ? "s" : "",
                     command_given(context->line, "repair")
                         ? ""
                         : " ('hull system check --repair' puts right what can be)");
}

const struct cli_verb cli_system_check = {
    .command = {.name = "system check",
                .summary = "verify what hull keeps",
                .description =
                    "Looks at the database, images, containers, volumes and networks. Prints a "
                    "line for each fault, and fails if there is one.",
                .flags = flags},
    .run = run_system_check,
};
