#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/image_verb.h"

static const struct command_flag flags[] = {
    {.name = "output", .letter = 'o', .argument = "FILE", .help = "write to FILE"},
    {.name = "format",
     .argument = "FORMAT",
     .choices = "docker oci",
     .default_text = "docker",
     .help = "docker (which is an OCI layout too), or an OCI layout only"},
    {0},
};

/* The image that needs no network is made by whoever asks for it first. */
static int make_default(const struct command_line *line, struct image_store *store,
                        struct error *err)
{
    for (int i = 0; i < line->argument_count; i++) {
        scope_image struct image image = {0};
        struct reference reference;
        if (reference_parse(line->arguments[i], &reference, NULL) == 0 &&
            image_is_default(&reference) &&
            image_verb_find(store, line->arguments[i], &image, err) < 0)
            return -1;
    }
    return 0;
}

static int save_to(struct cli_context *context, struct image_store *store, int fd,
                   struct error *err)
{
    const struct command_line *line = context->line;
    if (make_default(line, store, err) < 0)
        return -1;
    const char *format = command_value(line, "format");
    return image_save(
        store, (const char *const *)line->arguments, (size_t)line->argument_count,
        format && strcmp(format, "oci") == 0 ? IMAGE_ARCHIVE_OCI : IMAGE_ARCHIVE_DOCKER, fd, err);
}

/* Written beside, so that what fails leaves the old file as it was. */
static int save_to_file(struct cli_context *context, struct image_store *store, const char *path,
                        struct error *err)
{
    scope_free char *beside = memory_format("%s.XXXXXX", path);
    scope_close int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "can't write %s", path);
    int status = save_to(context, store, fd, err);
    if (status == 0 && (fchmod(fd, 0600) < 0 || rename(beside, path) < 0))
        status = error_set(err, errno, "can't write %s", path);
    if (status < 0)
        unlink(beside);
    return status;
}

static bool is_plain_file(const char *path)
{
    struct stat status;
    return lstat(path, &status) < 0 ? errno == ENOENT : S_ISREG(status.st_mode);
}

static int save(struct cli_context *context, struct image_store *store, struct error *err)
{
    const char *path = command_value(context->line, "output");
    if (path && is_plain_file(path))
        return save_to_file(context, store, path, err);
    if (!path && isatty(STDOUT_FILENO))
        return error_set(err, 0, "an archive isn't for a terminal (use -o FILE, or redirect)");
    scope_close int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (path && fd < 0)
        return error_set(err, errno, "can't write %s", path);
    return save_to(context, store, path ? fd : STDOUT_FILENO, err);
}

static int run_save(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, save, err);
}

const struct cli_verb cli_save = {
    .command = {.name = "save",
                .aliases = "image save",
                .arguments = "IMAGE...",
                .summary = "write images into an archive",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = -1},
    .run = run_save,
};
