/* Points in time, as nanoseconds since 1970. */
#ifndef HULL_BASE_TIMESTAMP_H
#define HULL_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TIMESTAMP_SECOND INT64_C(1000000000)

struct timestamp_text {
    char text[48];
};

int64_t timestamp_now(void);

/* "2026-11-21T12:40:00.123456789Z", with at most nine decimals, and any offset from UTC: RFC 3339,
 * as logs, status files and images have it. */
bool timestamp_read(const char *text, int64_t *out);

/* What --since and --until take: as above, also without seconds, time or offset (local time then);
 * seconds since 1970, "1700000000.5"; or how long ago, "1h30m". */
int timestamp_read_argument(const char *text, int64_t now, int64_t *out, struct error *err);

/* "2026-11-21T12:40:00.123456789+01:00", always with nine decimals: in local time, or in UTC with a
 * Z at its end. */
struct timestamp_text timestamp_format(int64_t time, bool local);

#endif
