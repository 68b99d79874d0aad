#include "cli/progress.h"

#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/human.h"

#define BAR_WIDTH 50
#define INTERVAL_NANOSECONDS 100000000ll
#define ITEMS_MAX 1000

struct item {
    char name[16];
    enum image_progress_phase phase;
    int64_t done, total;
};

static const char *const usual_names[] = {
    [IMAGE_PROGRESS_WAITING] = "Waiting",      [IMAGE_PROGRESS_DOWNLOADING] = "Downloading",
    [IMAGE_PROGRESS_UPLOADING] = "Pushing",    [IMAGE_PROGRESS_VERIFYING] = "Verifying Checksum",
    [IMAGE_PROGRESS_UNPACKING] = "Extracting", [IMAGE_PROGRESS_LOADING] = "Loading layer",
    [IMAGE_PROGRESS_RETRYING] = "Retrying",    [IMAGE_PROGRESS_EXISTS] = "Already exists",
    [IMAGE_PROGRESS_MOUNTED] = "Mounted",      [IMAGE_PROGRESS_COMPLETE] = "Complete",
    [IMAGE_PROGRESS_FAILED] = "Failed",
};

struct progress {
    struct image_progress callback; /* first: it is what callers have */
    const char *phase_names[IMAGE_PROGRESS_FAILED + 1];
    pthread_mutex_t mutex;
    FILE *out;
    struct item *items;
    size_t count;
    size_t drawn; /* lines on the screen */
    int64_t drawn_at;
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void draw_bar(FILE *out, const struct item *item, int room)
{
    int width = room - 60 < BAR_WIDTH ? room - 60 : BAR_WIDTH;
    int64_t done = item->done < item->total ? item->done : item->total;
    if (item->total > 0 && width >= 8) {
        int full = (int)((double)done / (double)item->total * (width - 1));
        fputs(" [", out);
        for (int i = 0; i < width; i++)
            fputc(i < full ? '=' : i == full ? '>' : ' ', out);
        fputc(']', out);
    }
    fprintf(out, " %s", human_size((uint64_t)item->done).text);
    if (item->total > 0)
        fprintf(out, "/%s", human_size((uint64_t)item->total).text);
}

static void draw_item(const struct progress *progress, const struct item *item, int columns)
{
    FILE *out = progress->out;
    fprintf(out, "\r\033[K%s: %s", item->name, progress->phase_names[item->phase]);
    if (item->phase < IMAGE_PROGRESS_EXISTS && item->done > 0)
        draw_bar(out, item, columns);
    fputc('\n', out);
}

/* The last ones that fit; more would scroll away what is drawn over. */
static void draw(struct progress *progress)
{
    struct winsize size = {0};
    ioctl(fileno(progress->out), TIOCGWINSZ, &size);
    size_t rows = size.ws_row > 2 ? size.ws_row - 2u : 22;
    size_t shown = progress->count < rows ? progress->count : rows;
    if (progress->drawn > 0)
        fprintf(progress->out, "\033[%zuA", progress->drawn);
    for (size_t i = progress->count - shown; i < progress->count; i++)
        draw_item(progress, &progress->items[i], size.ws_col ? size.ws_col : 80);
    progress->drawn = shown;
    progress->drawn_at = now();
    fflush(progress->out);
}

static struct item *find_item(struct progress *progress, const char *name)
{
    for (size_t i = 0; i < progress->count; i++)
        if (strcmp(progress->items[i].name, name) == 0)
            return &progress->items[i];
    if (progress->count == ITEMS_MAX)
        return NULL;
    progress->items = memory_resize(progress->items, progress->count + 1, sizeof *progress->items);
    struct item *item = &progress->items[progress->count++];
    *item = (struct item){0};
    snprintf(item->name, sizeof item->name, "%.15s", name);
    return item;
}

static void update(const struct image_progress *callback, const char *name,
                   enum image_progress_phase phase, int64_t done, int64_t total)
{
    struct progress *progress = (struct progress *)callback;
    char shown[16];
    snprintf(shown, sizeof shown, "%.15s", name);
    pthread_mutex_lock(&progress->mutex);
    struct item *item = find_item(progress, shown);
    if (item) {
        bool changed = item->phase != phase || item->done == 0;
        item->phase = phase;
        item->done = done;
        item->total = total;
        if (changed || now() - progress->drawn_at >= INTERVAL_NANOSECONDS)
            draw(progress);
    }
    pthread_mutex_unlock(&progress->mutex);
}

struct progress *progress_begin(FILE *out)
{
    if (!isatty(fileno(out)))
        return NULL;
    struct progress *progress = memory_allocate(1, sizeof *progress);
    progress->callback.update = update;
    memcpy(progress->phase_names, usual_names, sizeof usual_names);
    progress->out = out;
    pthread_mutex_init(&progress->mutex, NULL);
    return progress;
}

void progress_name_phase(struct progress *progress, enum image_progress_phase phase,
                         const char *word)
{
    if (progress && word)
        progress->phase_names[phase] = word;
}

const struct image_progress *progress_callback(const struct progress *progress)
{
    return progress ? &progress->callback : NULL;
}

void progress_end(struct progress *progress)
{
    if (!progress)
        return;
    if (progress->count > 0)
        draw(progress);
    pthread_mutex_destroy(&progress->mutex);
    free(progress->items);
    free(progress);
}
