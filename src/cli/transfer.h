/* What a pull or a push prints: docker's lines, and for each layer on a terminal one that is drawn
 * again and again, elsewhere one when it is done. */
#ifndef HULL_CLI_TRANSFER_H
#define HULL_CLI_TRANSFER_H

#include <pthread.h>
#include <stdbool.h>

#include "cli/progress.h"

/* How the ends of a layer are called. */
struct transfer_words {
    const char *complete, *exists, *mounted;
};

struct transfer {
    struct image_progress callback; /* first: it is what the layers' threads have */
    const struct transfer_words *words;
    struct progress *progress;
    pthread_mutex_t mutex;
    bool quiet;
    FILE *out;
};

/* quiet: prints nothing. out stays the caller's. */
void transfer_begin(struct transfer *transfer, const struct transfer_words *words, bool quiet,
                    FILE *out);
/* Prints a line below what is drawn so far; context is the struct transfer. */
void transfer_say(void *context, const char *line);
void transfer_end(struct transfer *transfer);

#endif
