#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/engine_verb.h"
#include "cli/human.h"
#include "engine/machine_copy.h"

static const struct command_flag flags[] = {
    {.name = "archive", .letter = 'a', .help = "keep owners and groups"},
    {.name = "follow-link", .letter = 'L', .help = "copy what SOURCE, a link, leads to"},
    {.name = "quiet", .letter = 'q', .help = "say nothing when it is done"},
    {0},
};

/* One of the two arguments. */
struct side {
    bool is_stream;  /* "-" */
    bool is_machine; /* the agent in it copies: root is none */
    char *name;      /* of the container, or NULL: the host's */
    char *path;
    struct engine_container container;
    struct engine_root root;
    struct copy_place place;
};

static void release_side(struct side *side)
{
    free(side->name);
    free(side->path);
    engine_container_release(&side->container);
    engine_root_release(&side->root);
}
#define scope_side __attribute__((cleanup(release_side)))

/* CONTAINER:PATH, unless what is before the colon is a path. */
static void split_argument(const char *text, struct side *side)
{
    const char *colon = strchr(text, ':');
    side->root = (struct engine_root){-1, -1};
    side->place = (struct copy_place){.root = -1, .user_namespace = -1, .name = text};
    side->is_stream = strcmp(text, "-") == 0;
    if (*text == '/' || *text == '.' || !colon) {
        side->path = memory_copy_string(text);
        return;
    }
    side->name = memory_format("%.*s", (int)(colon - text), text);
    side->path = memory_copy_string(colon + 1);
}

static int open_host(struct side *side, struct error *err)
{
    char here[PATH_MAX];
    if (*side->path != '/' && !getcwd(here, sizeof here))
        return error_set(err, errno, "can't find the working directory");
    if (*side->path != '/') {
        char *path = memory_format("%s/%s", here, side->path);
        free(side->path);
        side->path = path;
    }
    side->root.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return side->root.fd < 0 ? error_set(err, errno, "can't open /") : 0;
}

static int open_side(struct engine *engine, struct side *side, bool writable, struct error *err)
{
    if (side->is_stream)
        return 0;
    int result =
        side->name ? engine_find(engine, side->name, &side->container, err) : open_host(side, err);
    side->is_machine = side->name && result == 0 && engine_is_machine(&side->container);
    if (result == 0 && side->name && !side->is_machine)
        result = engine_open_root(engine, &side->container, writable, &side->root, err);
    side->place.path = side->path;
    side->place.root = side->root.fd;
    side->place.user_namespace = side->root.user_namespace;
    return result;
}

static int write_archive(struct engine *engine, const struct side *source,
                         const struct copy_options *options, struct error *err)
{
    int out = STDOUT_FILENO;
    if (isatty(out))
        return error_set(err, 0, "won't write an archive onto a terminal (redirect the output)");
    if (source->is_machine)
        return machine_copy_to_archive(engine, &source->container, source->path, options, out, err);
    return copy_to_archive(&source->place, options, archive_take_file, &out, err);
}

static int copy_files(struct engine *engine, const struct side *source,
                      const struct side *destination, const struct copy_options *options,
                      int64_t *bytes, struct error *err)
{
    if (source->is_machine)
        return machine_copy_out(engine, &source->container, source->path, &destination->place,
                                options, bytes, err);
    if (destination->is_machine && source->is_stream)
        return machine_copy_from_archive(engine, &destination->container, STDIN_FILENO,
                                         destination->path, options, err);
    if (destination->is_machine)
        return machine_copy_in(engine, &destination->container, &source->place, destination->path,
                               options, bytes, err);
    return source->is_stream ? copy_from_archive(STDIN_FILENO, &destination->place, options, err)
                             : copy_tree(&source->place, &destination->place, options, bytes, err);
}

static void note(struct engine *engine, const struct side *side, const char *action)
{
    if (side->name)
        engine_emit(
            engine, "container", action, side->container.id,
            json_pack("{s:s, s:s}", "image", side->container.image, "name", side->container.name));
}

static int copy_between(struct cli_context *context, struct engine *engine, struct side *source,
                        struct side *destination, struct error *err)
{
    struct command_line *line = context->line;
    struct copy_options options = {.follow_link = command_given(line, "follow-link"),
                                   .owners = command_given(line, "archive"),
                                   .warnings = context->warnings};
    int64_t bytes = 0;
    if (open_side(engine, source, false, err) < 0 || open_side(engine, destination, true, err) < 0)
        return -1;
    options.root_is_read_only = json_is_true(json_object_get(
        json_object_get(destination->container.settings, "HostConfig"), "ReadonlyRootfs"));
    note(engine, source, "archive-path");
    if (destination->is_stream)
        return write_archive(engine, source, &options, err);
    if (copy_files(engine, source, destination, &options, &bytes, err) < 0)
        return -1;
    note(engine, destination, "extract-to-dir");
    if (!command_given(line, "quiet") && !source->is_stream)
        fprintf(stderr, "Successfully copied %s to %s\n", human_size((uint64_t)bytes).text,
                destination->place.name);
    return 0;
}

static int copy(struct cli_context *context, struct engine *engine, struct error *err)
{
    char **arguments = context->line->arguments;
    scope_side struct side source = {0}, destination = {0};
    split_argument(arguments[0], &source);
    split_argument(arguments[1], &destination);
    if (source.name && destination.name)
        return error_set(err, 0, "copying between containers is not supported (use - and a pipe)");
    if (!source.name && !destination.name)
        return error_set(err, 0, "one of SOURCE and DESTINATION must be CONTAINER:PATH");
    return copy_between(context, engine, &source, &destination, err);
}

static int run_cp(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, copy, err);
}

const struct cli_verb cli_cp = {
    .command = {.name = "cp",
                .aliases = "container cp",
                .arguments = "SOURCE DESTINATION",
                .summary = "copy files into or out of a container",
                .description =
                    "One of SOURCE and DESTINATION is CONTAINER:PATH, the other a path here or -. "
                    "A directory is copied into DESTINATION if that is there, else it becomes "
                    "DESTINATION; of SOURCE/. only what is in it is copied. - is a tar archive, "
                    "on standard input or output.\n"
                    "\n"
                    "    hull cp web:/etc/nginx .\n"
                    "    hull cp page.html web:/srv\n"
                    "    hull cp web:/srv - | hull cp - other:/",
                .flags = flags,
                .min_arguments = 2,
                .max_arguments = 2},
    .run = run_cp,
};
