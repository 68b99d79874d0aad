/* The monitor's log, for people: one line a message,
 *
 *     2026-11-21T12:52:00.123456789 [ID:THREAD:LEVEL:FILE:LINE] message
 *
 * LEVEL and FILE:LINE only where asked for. There is one log a process, which this module holds:
 * what devices say with vm_log() (vm/log.h) gets here by log_take(). Any thread may write; a
 * message is one write(2). Until log_configure() it goes to standard error, from level Info on.
 *
 * The file or pipe is opened non-blocking: what a pipe has no room for is lost, and counted. */
#ifndef HULL_VM_CONTROL_LOG_H
#define HULL_VM_CONTROL_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vm/control/settings.h"
#include "vm/log.h"

struct metrics_logger;

/* The VM's identifier, before other threads run; and where lost messages are counted, or NULL. */
void log_initialize(const char *id, struct metrics_logger *counters);

/* Takes over what settings gives; what it doesn't stays as it was. Nothing changes on an error. */
int log_configure(const struct logger_settings *settings, struct error *err);

/* Closes the file; back to standard error and Info. */
void log_close(void);

/* A message without a place in the sources: module is its origin. For vm_log_set_sink(). */
void log_take(enum vm_log_level level, const char *module, const char *text);

/* The same of a signal handler, in which the process ends: the text, a line, is written as it is.
 */
void log_last_words(const char *text);

bool log_is_wanted(enum log_level level, const char *file);

void log_message(enum log_level level, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

/* For messages that a guest can cause as often as it likes: at most LOG_LIMIT_MESSAGES in each
 * LOG_LIMIT_SECONDS from the place that keeps *limit; the others are counted. */
#define LOG_LIMIT_MESSAGES 10
#define LOG_LIMIT_SECONDS 5
struct log_limit {
    int64_t window; /* when it began, in seconds of the monotonic clock */
    unsigned count;
};
bool log_limit_allows(struct log_limit *limit);

#define log_limited(limit, level, ...)                                                             \
    do {                                                                                           \
        if (log_limit_allows(limit))                                                               \
            log_message(level, __FILE__, __LINE__, __VA_ARGS__);                                   \
    } while (0)

#endif
