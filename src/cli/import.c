#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/image_verb.h"
#include "cli/progress.h"
#include "image/registry.h"

static const struct command_flag flags[] = {
    {.name = "change",
     .letter = 'c',
     .argument = "INSTRUCTION",
     .repeats = true,
     .help = "apply a Dockerfile's instruction, such as 'CMD [\"sh\"]'"},
    {.name = "message", .letter = 'm', .argument = "TEXT", .help = "a comment for the history"},
    {.name = "platform",
     .argument = "OS/ARCH",
     .help = "what the image is for, if not this machine"},
    {0},
};

static int apply_changes(struct command_line *line, json_t *config, struct error *err)
{
    const char **changes;
    size_t count = command_values(line, "change", &changes);
    for (size_t i = 0; i < count; i++)
        if (image_config_change(config, changes[i], err) < 0)
            return -1;
    return 0;
}

static int import_from(struct cli_context *context, struct image_store *store, int fd,
                       struct image_import *import, struct error *err)
{
    struct command_line *line = context->line;
    scope_image struct image image = {0};
    struct platform platform;
    struct reference reference;
    const char *platform_text = command_value(line, "platform");
    if (platform_text && platform_parse(platform_text, &platform, err) < 0)
        return -1;
    import->platform = platform_text ? &platform : NULL;
    if (line->argument_count > 1) {
        if (reference_parse(line->arguments[1], &reference, err) < 0)
            return -1;
        reference_default_tag(&reference);
        import->reference = &reference;
    }
    if (apply_changes(line, import->config, err) < 0 ||
        image_import(store, fd, import, &image, err) < 0)
        return -1;
    printf("%s\n", image.id);
    return 0;
}

static bool is_url(const char *source)
{
    return strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0;
}

/* All of it, before it is an image: half an archive can look like a whole one. */
static int fetch(struct image_store *store, const char *url, struct error *err)
{
    int64_t limit;
    scope_close int fd = image_store_scratch(store, &limit, err);
    if (fd < 0)
        return -1;
    struct progress *progress = progress_begin(stderr);
    int status = registry_fetch_file(url, fd, limit, progress_callback(progress), err);
    progress_end(progress);
    return status < 0 ? -1 : scope_take_fd(&fd);
}

static int open_source(struct image_store *store, const char *source, struct error *err)
{
    if (is_url(source))
        return fetch(store, source, err);
    int fd = strcmp(source, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                      : open(source, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, errno, "can't open %s", source);
}

static int import(struct cli_context *context, struct image_store *store, struct error *err)
{
    const char *source = context->line->arguments[0];
    const char *message = command_value(context->line, "message");
    scope_free char *comment =
        is_url(source) ? memory_format("Imported from %.*s", (int)strcspn(source, "?"), source)
                       : memory_copy_string("Imported from -");
    scope_close int fd = open_source(store, source, err);
    if (fd < 0)
        return -1;
    struct image_import arguments = {.config = json_object(),
                                     .comment = message ? message : comment};
    int status = import_from(context, store, fd, &arguments, err);
    json_decref(arguments.config);
    return status;
}

static int run_import(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, import, err);
}

const struct cli_verb cli_import = {
    .command = {.name = "import",
                .aliases = "image import",
                .arguments = "FILE|URL|- [NAME[:TAG]]",
                .summary = "make an image of a tar archive of a root file system",
                .description = "The archive is a file, what a URL of http or https names, or - for "
                               "standard input.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 2},
    .run = run_import,
};
