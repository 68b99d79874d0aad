/* Lines of a file that is written to and rotated by others: PATH, and what was before it in PATH.1,
 * PATH.2 …, any of which may be compressed (PATH.1.gz). They are read from the oldest on, and then
 * as they come. */
#ifndef HULL_ENGINE_LINES_H
#define HULL_ENGINE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LINES_LONGEST (1 << 20) /* a longer line isn't one of ours, and is passed over */

struct lines;

/* follow: lines_wait() will be called. A file that isn't there (yet) has no lines. */
int lines_open(struct lines **lines, const char *path, bool follow, struct error *err);
void lines_close(struct lines **lines); /* does nothing if *lines is NULL */
#define scope_lines __attribute__((cleanup(lines_close)))

/* Passes over all lines but the last count. To be called before lines_next(). */
int lines_skip_to_last(struct lines *lines, uint64_t count, struct error *err);

/* 1: *line is the next line, without its end, followed by a NUL; it lives until the next call. 0:
 * there is none now; an unfinished one may be. -1: failed.
 *
 * *again is set from when on lines may be given that were given already: the file was rotated so
 * often meanwhile that the place was lost. Who follows leaves out what isn't newer than the last.
 */
int lines_next(struct lines *lines, char **line, size_t *length, bool *again, struct error *err);

/* Waits until there may be more, until fd (or -1) is readable, or for timeout ms. */
int lines_wait(struct lines *lines, int fd, int timeout, struct error *err);

#endif
