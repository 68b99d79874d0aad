#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/scope.h"
#include "cli/image_verb.h"
#include "cli/progress.h"

static const struct command_flag flags[] = {
    {.name = "input",
     .letter = 'i',
     .argument = "FILE",
     .help = "read FILE instead of standard input"},
    {.name = "quiet", .letter = 'q', .help = "show no progress"},
    {0},
};

/* Told while progress may be on the screen, so it is printed afterwards. */
static void note_loaded(const struct image *image, const char *name, void *context)
{
    FILE *report = context;
    if (name)
        fprintf(report, "Loaded image: %s\n", name);
    else
        fprintf(report, "Loaded image ID: %s\n", image->id);
}

static int load(struct cli_context *context, struct image_store *store, struct error *err)
{
    const char *path = command_value(context->line, "input");
    scope_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    scope_free char *text = NULL;
    size_t length;
    if (path && fd < 0)
        return error_set(err, errno, "can't open %s", path);
    if (!path && isatty(STDIN_FILENO))
        return error_set(err, 0, "an archive isn't typed at a terminal (use -i FILE, or redirect)");
    FILE *report = open_memstream(&text, &length);
    if (!report)
        return error_set(err, errno, "can't report");
    struct progress *progress =
        command_given(context->line, "quiet") ? NULL : progress_begin(stderr);
    const struct image_load_options options = {
        .progress = progress_callback(progress), .loaded = note_loaded, .context = report};
    int status = image_load(store, path ? fd : STDIN_FILENO, &options, err);
    progress_end(progress);
    fclose(report);
    fputs(text, stdout);
    return status;
}

static int run_load(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, load, err);
}

const struct cli_verb cli_load = {
    .command = {.name = "load",
                .aliases = "image load",
                .summary = "read images from an archive",
                .flags = flags},
    .run = run_load,
};
