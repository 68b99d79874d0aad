/* How people write sizes, durations and numbers on a command line; docker's spellings. */
#ifndef HULL_CLI_QUANTITY_H
#define HULL_CLI_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Each tells whether text is one, and then sets *out. */

/* "512m", "1.5G", "64KiB", "100": bytes, in units of 1024. */
bool quantity_read_size(const char *text, int64_t *out);
/* "1m30s", "100ms", "1.5h", "0": nanoseconds, as Go's time.ParseDuration. */
bool quantity_read_duration(const char *text, int64_t *out);
/* "1.5", "0.001": billionths of it. */
bool quantity_read_billionths(const char *text, int64_t *out);
/* A whole number in decimal digits and nothing else. */
bool quantity_read_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *out);

#endif
