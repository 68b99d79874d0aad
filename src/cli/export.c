#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "engine/copy.h"

static const struct command_flag flags[] = {
    {.name = "output",
     .letter = 'o',
     .argument = "FILE",
     .help = "write into this file",
     .default_text = "standard output"},
    {0},
};

static int write_tree(struct cli_context *context, struct engine *engine,
                      const struct engine_container *container, int out, struct error *err)
{
    const struct copy_options options = {.warnings = context->warnings};
    scope_engine_root struct engine_root root;
    if (engine_open_own_root(engine, container, &root, err) < 0)
        return -1;
    const struct copy_place all = {root.fd, root.user_namespace, "/.", container->name};
    if (copy_to_archive(&all, &options, archive_take_file, &out, err) < 0)
        return -1;
    engine_emit(engine, "container", "export", container->id,
                json_pack("{s:s, s:s}", "image", container->image, "name", container->name));
    return 0;
}

/* Beside, and then renamed: who is interrupted has no half of an archive under its name. */
static int write_file(struct cli_context *context, struct engine *engine,
                      const struct engine_container *container, const char *path, struct error *err)
{
    scope_free char *beside = memory_format("%s.hull-%d", path, (int)getpid());
    scope_close int out = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out < 0)
        return error_set(err, errno, "can't make %s", beside);
    int result = write_tree(context, engine, container, out, err);
    if (result == 0 && rename(beside, path) < 0)
        result = error_set(err, errno, "can't make %s", path);
    if (result < 0)
        unlink(beside);
    return result;
}

static int export(struct cli_context *context, struct engine *engine,
                  const struct engine_container *container, struct error *err)
{
    const char *path = command_value(context->line, "output");
    if (!path && isatty(STDOUT_FILENO))
        return error_set(err, 0, "won't write an archive onto a terminal (give --output)");
    struct stat status;
    /* A device or a pipe is written to as it is. */
    if (path && (stat(path, &status) < 0 || S_ISREG(status.st_mode)))
        return write_file(context, engine, container, path, err);
    scope_close int out = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (path && out < 0)
        return error_set(err, errno, "can't open %s", path);
    return write_tree(context, engine, container, path ? out : STDOUT_FILENO, err);
}

static int run_export(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, export, err);
}

const struct cli_verb cli_export = {
    .command = {.name = "export",
                .aliases = "container export",
                .arguments = "CONTAINER",
                .summary = "write a container's files as a tar archive",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_export,
};
