/* Progress on a terminal, a line for each layer, as docker shows it. */
#ifndef HULL_CLI_PROGRESS_H
#define HULL_CLI_PROGRESS_H

#include <stdio.h>

#include "image/image.h"

struct progress;

/* NULL, which all of these bear, if out isn't a terminal. */
struct progress *progress_begin(FILE *out);
/* Calls a phase otherwise: "Pull complete" instead of "Complete". The word stays the caller's. */
void progress_name_phase(struct progress *progress, enum image_progress_phase phase,
                         const char *word);
/* What the image store and the registry client are given; may be called from any thread. */
const struct image_progress *progress_callback(const struct progress *progress);
/* Draws for the last time and frees. */
void progress_end(struct progress *progress);

#endif
