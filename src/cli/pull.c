#include <pthread.h>
#include <stdio.h>

#include "cli/image_verb.h"
#include "cli/progress.h"
#include "image/registry.h"

static const struct command_flag flags[] = {
    {.name = "all-tags", .letter = 'a', .help = "pull every tag of the repository"},
    {.name = "platform",
     .argument = "OS/ARCHITECTURE",
     .help = "of an image for several platforms, take that for this one, such as linux/arm64"},
    {.name = "quiet", .letter = 'q', .help = "print only the image's name"},
    {0},
};

/* What is printed: on a terminal a line for each layer that is drawn again and again, else one when
 * it is done. */
struct screen {
    struct image_progress callback; /* first: it is what the layers' threads have */
    struct progress *progress;
    pthread_mutex_t mutex;
};

static void print_layer(const struct image_progress *callback, const char *item,
                        enum image_progress_phase phase, int64_t done, int64_t total)
{
    struct screen *screen = (struct screen *)callback;
    pthread_mutex_lock(&screen->mutex);
    if (!screen->progress)
        screen->progress = progress_begin(stdout);
    if (screen->progress)
        image_progress_update(progress_callback(screen->progress), item, phase, done, total);
    else if (phase == IMAGE_PROGRESS_COMPLETE)
        printf("%s: Pull complete\n", item);
    else if (phase == IMAGE_PROGRESS_EXISTS)
        printf("%s: Already exists\n", item);
    pthread_mutex_unlock(&screen->mutex);
}

/* What was drawn so far stays above the line. */
static void print_line(void *context, const char *line)
{
    struct screen *screen = context;
    progress_end(screen->progress);
    screen->progress = NULL;
    printf("%s\n", line);
    fflush(stdout);
}

static int pull(struct cli_context *context, struct image_store *store, struct error *err)
{
    const char *name = context->line->arguments[0];
    const char *platform_text = command_value(context->line, "platform");
    bool quiet = command_given(context->line, "quiet");
    bool all_tags = command_given(context->line, "all-tags");
    struct screen screen = {{print_layer}, NULL, PTHREAD_MUTEX_INITIALIZER};
    struct platform platform;
    struct reference reference, pulled;
    char text[REFERENCE_TEXT_SIZE];
    if ((platform_text && platform_parse(platform_text, &platform, err) < 0) ||
        reference_parse(name, &reference, err) < 0)
        return -1;
    if (!quiet && !all_tags && !*reference.tag && !*reference.digest)
        print_line(&screen, "Using default tag: latest");
    const struct registry_pull_options options = {
        .platform = platform_text ? &platform : NULL,
        .all_tags = all_tags,
        .progress = quiet ? NULL : &screen.callback,
        .warnings = context->warnings,
        .say = quiet ? NULL : print_line,
        .context = &screen,
        .pulled = &pulled,
    };
    int status = registry_pull(store, name, &options, NULL, err);
    progress_end(screen.progress);
    if (status == 0)
        printf("%s\n", reference_format(&pulled, text));
    return status;
}

static int run_pull(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, pull, err);
}

const struct cli_verb cli_pull = {
    .command = {.name = "pull",
                .aliases = "image pull",
                .arguments = "NAME[:TAG|@DIGEST]",
                .summary = "fetch an image from a registry",
                .description = "A name without a registry is looked for at those that "
                               "registries.json has under \"search\", docker.io by default. What "
                               "is there already isn't fetched again.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_pull,
};
