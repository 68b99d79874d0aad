#include "cli/transfer.h"

#include <stdio.h>

static void print_end(const struct transfer *transfer, const char *item,
                      enum image_progress_phase phase)
{
    const struct transfer_words *words = transfer->words;
    const char *word = phase == IMAGE_PROGRESS_COMPLETE  ? words->complete
                       : phase == IMAGE_PROGRESS_EXISTS  ? words->exists
                       : phase == IMAGE_PROGRESS_MOUNTED ? words->mounted
                                                         : NULL;
    if (!word)
        return;
    fprintf(transfer->out, "%s: %s\n", item, word);
    fflush(transfer->out);
}

static void begin_progress(struct transfer *transfer)
{
    const struct transfer_words *words = transfer->words;
    transfer->progress = progress_begin(transfer->out);
    progress_name_phase(transfer->progress, IMAGE_PROGRESS_COMPLETE, words->complete);
    progress_name_phase(transfer->progress, IMAGE_PROGRESS_EXISTS, words->exists);
    progress_name_phase(transfer->progress, IMAGE_PROGRESS_MOUNTED, words->mounted);
}

static void update(const struct image_progress *callback, const char *item,
                   enum image_progress_phase phase, int64_t done, int64_t total)
{
    struct transfer *transfer = (struct transfer *)callback;
    if (transfer->quiet)
        return;
    pthread_mutex_lock(&transfer->mutex);
    if (!transfer->progress)
        begin_progress(transfer);
    if (transfer->progress)
        image_progress_update(progress_callback(transfer->progress), item, phase, done, total);
    else
        print_end(transfer, item, phase);
    pthread_mutex_unlock(&transfer->mutex);
}

void transfer_begin(struct transfer *transfer, const struct transfer_words *words, bool quiet,
                    FILE *out)
{
    *transfer = (struct transfer){.callback = {update}, .words = words, .quiet = quiet, .out = out};
    pthread_mutex_init(&transfer->mutex, NULL);
}

/* No layer is under way then. */
void transfer_say(void *context, const char *line)
{
    struct transfer *transfer = context;
    progress_end(transfer->progress);
    transfer->progress = NULL;
    if (transfer->quiet)
        return;
    fprintf(transfer->out, "%s\n", line);
    fflush(transfer->out);
}

void transfer_end(struct transfer *transfer)
{
    progress_end(transfer->progress);
    pthread_mutex_destroy(&transfer->mutex);
}
