/* `hull run` and `hull create`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "cli/run_flags.h"
#include "cli/transfer.h"
#include "engine/settings.h"
#include "engine/settings_internal.h"
#include "image/registry.h"

#define STATUS_FAILED 125

/* ---- --cidfile ---- */

/* Makes the file before the container; returns a descriptor, or -1 (*err says why, if a file was
 * asked for). */
static int open_id_file(const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, 0, "--cidfile '%s': the file is there already (remove it first)",
                         path);
    return fd >= 0 ? fd : error_set(err, errno, "--cidfile '%s'", path);
}

static int create_with_file(struct cli_context *context, struct engine *engine,
                            const json_t *settings, struct engine_container *container,
                            struct error *err)
{
    const char *path = command_value(context->line, "cidfile");
    const struct engine_removal removal = {.force = true, .volumes = true};
    scope_close int fd = path ? open_id_file(path, err) : -1;
    struct error ignored;
    if (path && fd < 0)
        return -1;
    if (engine_create(engine, settings, container, err) < 0) {
        if (path)
            unlink(path);
        return -1;
    }
    if (!path || file_write_all(fd, container->id, strlen(container->id)) == 0)
        return 0;
    error_set(err, errno, "--cidfile '%s'", path);
    unlink(path);
    engine_remove(engine, container, &removal, &ignored);
    engine_container_release(container);
    return -1;
}

/* ---- Making ---- */

static void say_missing(void *context, const char *name)
{
    scope_free char *line = memory_format("Unable to find image '%s' locally: pulling it", name);
    transfer_say(context, line);
}

/* Docker's policy: --pull says whether what is there is enough. */
static int obtain_image(struct cli_context *context, struct engine *engine, const char *name,
                        struct error *err)
{
    static const struct transfer_words words = {"Pull complete", "Already exists", NULL};
    const struct command_line *line = context->line;
    const char *pull = command_value(line, "pull"),
               *platform_text = command_value(line, "platform");
    enum registry_policy policy = !pull || strcmp(pull, "missing") == 0 ? REGISTRY_POLICY_MISSING
                                  : strcmp(pull, "always") == 0         ? REGISTRY_POLICY_ALWAYS
                                                                        : REGISTRY_POLICY_NEVER;
    struct platform platform;
    struct transfer transfer;
    struct image_store *images = engine_images(engine, err);
    scope_image struct image image = {0};
    if (!images || (platform_text && platform_parse(platform_text, &platform, err) < 0))
        return -1;
    transfer_begin(&transfer, &words, command_given(line, "quiet"), stderr);
    const struct registry_pull_options options = {
        .platform = platform_text ? &platform : NULL,
        .progress = &transfer.callback,
        .warnings = context->warnings,
        .say = transfer_say,
        .context = &transfer,
    };
    int status = registry_obtain(images, name, policy, &options, say_missing, &image, err);
    transfer_end(&transfer);
    return status;
}

static int create(struct cli_context *context, struct engine *engine, const json_t *settings,
                  struct engine_container *container, struct error *err)
{
    /* Nothing is pulled for what can't be made. */
    if (settings_check(settings, NULL, err) < 0 ||
        obtain_image(context, engine, settings_text(settings, "Image"), err) < 0)
        return -1;
    return create_with_file(context, engine, settings, container, err);
}

static int run_create(struct cli_context *context, struct error *err)
{
    json_t *settings = NULL;
    scope_engine struct engine *engine = NULL;
    scope_container struct engine_container container = {0};
    int result = run_flags_make_settings(context->line, context->warnings, &settings, err);
    if (result == 0)
        result = container_verb_open(context, &engine, err);
    if (result == 0)
        result = create(context, engine, settings, &container, err);
    json_decref(settings);
    if (result < 0) {
        run_flags_explain(err);
        context->exit_status = 1;
        return -1;
    }
    printf("%s\n", container.id);
    return 0;
}

/* ---- Running ---- */

static int check_terminal(const json_t *settings, struct error *err)
{
    if (settings_flag(settings, "Tty") && settings_flag(settings, "AttachStdin") &&
        !isatty(STDIN_FILENO))
        return error_set(err, 0, "standard input is no terminal (leave out --tty)");
    return 0;
}

static int find_streams(const json_t *settings)
{
    bool has_terminal = settings_flag(settings, "Tty");
    bool output = settings_flag(settings, "AttachStdout"),
         errors = settings_flag(settings, "AttachStderr");
    return (settings_flag(settings, "AttachStdin") ? MONITOR_ATTACH_STDIN : 0) |
           (output || (errors && has_terminal) ? MONITOR_ATTACH_STDOUT : 0) |
           (errors && !has_terminal ? MONITOR_ATTACH_STDERR : 0);
}

static bool wants_signals(const struct cli_context *context)
{
    const char *text = command_value(context->line, "sig-proxy");
    return !text || strcmp(text, "true") == 0;
}

static int run_in_foreground(struct cli_context *context, struct engine *engine,
                             const struct engine_container *container, int streams,
                             struct error *err)
{
    struct engine_start start = {.hold = true};
    const struct container_session session = {
        .flags = streams | MONITOR_ATTACH_LOSSLESS,
        .held = &start,
        .pass_signals = wants_signals(context),
        .detach_keys = command_value(context->line, "detach-keys"),
    };
    container_session_size(&start.rows, &start.columns);
    if (engine_start(engine, container, &start, err) < 0) {
        context->exit_status = start.failure.exit_code;
        return -1;
    }
    return container_session_run(engine, container, &session, &context->exit_status, err);
}

static int run_in_background(struct cli_context *context, struct engine *engine,
                             const struct engine_container *container, struct error *err)
{
    struct engine_start start = {0};
    if (engine_start(engine, container, &start, err) < 0) {
        context->exit_status = start.failure.exit_code;
        return -1;
    }
    printf("%s\n", container->id);
    return 0;
}

static void report_left(const struct cli_context *context, int removed, struct error *why)
{
    if (removed == 0)
        return;
    error_wrap(why, "removing the container that didn't start");
    warnings_say(context->warnings, why);
}

static int start(struct cli_context *context, struct engine *engine, const json_t *settings,
                 const struct engine_container *container, struct error *err)
{
    struct error why;
    const struct engine_removal removal = {.force = true, .volumes = true};
    int streams = find_streams(settings);
    bool is_detached = command_given(context->line, "detach") || streams == 0;
    int result = is_detached ? run_in_background(context, engine, container, err)
                             : run_in_foreground(context, engine, container, streams, err);
    /* Of --rm nothing stays even where no monitor came to clean up. */
    if (result < 0 && context->exit_status >= STATUS_FAILED && context->exit_status <= 127 &&
        settings_flag(json_object_get(container->settings, "HostConfig"), "AutoRemove"))
        report_left(context, engine_remove(engine, container, &removal, &why), &why);
    return result;
}

static int run_run(struct cli_context *context, struct error *err)
{
    json_t *settings = NULL;
    scope_engine struct engine *engine = NULL;
    scope_container struct engine_container container = {0};
    int result = run_flags_make_settings(context->line, context->warnings, &settings, err);
    if (result == 0)
        result = check_terminal(settings, err);
    if (result == 0)
        result = container_verb_open(context, &engine, err);
    if (result == 0)
        result = create(context, engine, settings, &container, err);
    if (result == 0)
        result = start(context, engine, settings, &container, err);
    if (result < 0)
        run_flags_explain(err);
    json_decref(settings);
    return result;
}

const struct cli_verb cli_run = {
    .command = {.name = "run",
                .aliases = "container run",
                .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
                .summary = "make a container of an image and run it",
                .description =
                    "Ends with the exit status of the container's program; with 125 if hull itself "
                    "failed, 126 if the program couldn't be executed, 127 if it wasn't found.\n\n"
                    "  hull run --rm -it busybox sh\n"
                    "  hull run -d --name web -p 8080:80 -v pages:/srv IMAGE",
                .flags = run_flags,
                .min_arguments = 1,
                .max_arguments = -1,
                .options_first = true},
    .run = run_run,
};

const struct cli_verb cli_create = {
    .command = {.name = "create",
                .aliases = "container create",
                .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
                .summary = "make a container without starting it",
                .flags = run_flags + RUN_FLAGS_OF_RUN,
                .min_arguments = 1,
                .max_arguments = -1,
                .options_first = true},
    .run = run_create,
};
