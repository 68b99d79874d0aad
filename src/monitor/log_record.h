/* One record of the json-file log. */
#ifndef HULL_MONITOR_LOG_RECORD_H
#define HULL_MONITOR_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>

/* Room for a record of count bytes, without its attributes: each byte may become \u0000. */
#define LOG_RECORD_ROOM(count) ((count)*6 + 160)

/* Writes a record and its newline to `to`; returns its length. stream: 1 or 2. ends: the text ends
 * a line. attributes: a JSON object, or NULL. What isn't UTF-8 becomes U+FFFD. */
size_t log_record_format(char *to, int stream, const char *text, size_t count, bool ends,
                         const char *time, const char *attributes);

/* How many of these bytes to take so that no character is cut in two. At least one. */
size_t log_record_whole_characters(const char *text, size_t count);

#endif
