#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "force",
     .letter = 'f',
     .help = "also what a stopped container uses, and images with several names"},
    {.name = "no-prune", .help = "accepted for docker's sake: parents are never images here"},
    {0},
};

static void print_removal(const struct image_removal *removal)
{
    for (size_t i = 0; i < removal->untagged_count; i++)
        printf("Untagged: %s\n", removal->untagged[i]);
    for (size_t i = 0; i < removal->deleted_count; i++)
        printf("Deleted: %s\n", removal->deleted[i]);
}

static bool is_name_of(const struct image *image, const char *text)
{
    struct reference reference;
    char name[REFERENCE_TEXT_SIZE];
    if (reference_parse(text, &reference, NULL) < 0)
        return false;
    reference_default_tag(&reference);
    reference_format(&reference, name);
    for (size_t i = 0; i < image->name_count; i++)
        if (strcmp(image->names[i], name) == 0)
            return true;
    return *reference.digest != '\0';
}

static int refuse_running(struct cli_context *context, const struct image_lease_holder *holder,
                          const char *text, struct error *err)
{
    scope_engine struct engine *engine = NULL;
    scope_container struct engine_container container = {0};
    struct monitor_status status;
    if (container_verb_open(context, &engine, err) < 0)
        return -1;
    /* Gone meanwhile, or a lease that is no container's. */
    if (engine_find(engine, holder->owner, &container, NULL) < 0 ||
        engine_status(engine, &container, &status, NULL) < 0)
        return 0;
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    if (!is_up)
        return 0;
    return error_set(err, 0,
                     "image %s is used by container %s (%.12s), which runs (stop it first: this "
                     "can't be forced)",
                     text, container.name, container.id);
}

/* As docker: a name can be taken off by force, but an image by its id not while a container of it
 * runs. */
static int check_running(struct cli_context *context, struct image_store *store, const char *text,
                         struct error *err)
{
    scope_image struct image image = {0};
    struct image_lease_holder *holders;
    size_t count;
    int status = 0;
    if (image_find(store, text, &image, NULL) != 1 || is_name_of(&image, text))
        return 0;
    if (image_lease_list(store, &holders, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count && status == 0; i++)
        if (strcmp(holders[i].image, image.id) == 0)
            status = refuse_running(context, &holders[i], text, err);
    image_lease_holders_free(holders, count);
    return status;
}

/* All that can be removed are; the first error is what the verb ends with. */
static int remove_images(struct cli_context *context, struct image_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    bool force = command_given(line, "force");
    int status = 0;
    for (int i = 0; i < line->argument_count; i++) {
        scope_image_removal struct image_removal removal = {0};
        struct error reason = {0};
        if ((force && check_running(context, store, line->arguments[i], &reason) < 0) ||
            image_remove(store, line->arguments[i], force, &removal, &reason) < 0) {
            if (status < 0)
                warnings_say(context->warnings, err);
            *err = reason;
            status = -1;
        }
        print_removal(&removal);
    }
    return status;
}

static int run_rmi(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, remove_images, err);
}

const struct cli_verb cli_rmi = {
    .command = {.name = "rmi",
                .aliases = "image rm,image remove",
                .arguments = "IMAGE...",
                .summary = "remove images",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_rmi,
};
