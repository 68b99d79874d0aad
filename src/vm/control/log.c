#include "vm/control/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/control/metrics.h"

#define MAX_MESSAGE 4096

/* The process's one log (see log.h). */
static struct {
    pthread_mutex_t lock;
    int fd;
    enum log_level level;
    bool show_level, show_origin;
    char *module; /* or NULL */
    char id[VM_MAX_ID_LENGTH + 1];
    struct metrics_logger *counters;
} process_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};

void log_initialize(const char *id, struct metrics_logger *counters)
{
    snprintf(process_log.id, sizeof process_log.id, "%s", id);
    process_log.counters = counters;
}

static int open_output(const char *path, struct error *err)
{
    /* Read and write: a pipe that nobody reads yet can be opened so (fifo(7)). */
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
    return fd < 0 ? error_set(err, errno, "Failed to open target file '%s'", path) : fd;
}

int log_configure(const struct logger_settings *settings, struct error *err)
{
    int fd = settings->path ? open_output(settings->path, err) : -1;
    if (settings->path && fd < 0)
        return -1;
    pthread_mutex_lock(&process_log.lock);
    if (fd >= 0) {
        if (process_log.fd != STDERR_FILENO)
            close(process_log.fd);
        process_log.fd = fd;
    }
    if (settings->level_given)
        process_log.level = settings->level;
    if (settings->show_level_given)
        process_log.show_level = settings->show_level;
    if (settings->show_origin_given)
        process_log.show_origin = settings->show_origin;
    if (settings->module) {
        free(process_log.module);
        process_log.module = memory_copy_string(settings->module);
    }
    pthread_mutex_unlock(&process_log.lock);
    return 0;
}

void log_close(void)
{
    pthread_mutex_lock(&process_log.lock);
    if (process_log.fd != STDERR_FILENO)
        close(process_log.fd);
    free(process_log.module);
    process_log.fd = STDERR_FILENO;
    process_log.level = LOG_LEVEL_INFO;
    process_log.show_level = process_log.show_origin = false;
    process_log.module = NULL;
    process_log.counters = NULL;
    pthread_mutex_unlock(&process_log.lock);
}

/* The file as seen from src/: "vm/device/block.c". */
static const char *origin_of(const char *file)
{
    const char *found = NULL;
    for (const char *at = strstr(file, "src/"); at; at = strstr(at + 1, "src/"))
        found = at;
    return found ? found + strlen("src/") : file;
}

static bool is_wanted(enum log_level level, const char *file)
{
    const char *module = process_log.module;
    return level <= process_log.level &&
           (!module || strncmp(origin_of(file), module, strlen(module)) == 0);
}

bool log_is_wanted(enum log_level level, const char *file)
{
    pthread_mutex_lock(&process_log.lock);
    bool wanted = is_wanted(level, file);
    pthread_mutex_unlock(&process_log.lock);
    return wanted;
}

/* Appends to the text of at most MAX_MESSAGE bytes; what doesn't fit is cut. */
static void put(char *text, size_t *length, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(char *text, size_t *length, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int more = vsnprintf(text + *length, MAX_MESSAGE - *length, format, args);
    va_end(args);
    if (more > 0)
        *length += (size_t)more;
    if (*length >= MAX_MESSAGE)
        *length = MAX_MESSAGE - 1;
}

static size_t put_prefix(char *text, enum log_level level, const char *file, int line)
{
    struct timespec now;
    struct tm utc;
    char thread[17] = "";
    size_t length = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    prctl(PR_GET_NAME, thread);
    length = strftime(text, MAX_MESSAGE, "%Y-%m-%dT%H:%M:%S", &utc);
    put(text, &length, ".%09ld [%s:%s", now.tv_nsec, process_log.id, thread);
    if (process_log.show_level)
        put(text, &length, ":%s", level_names[level]);
    if (process_log.show_origin && line > 0)
        put(text, &length, ":%s:%d", origin_of(file), line);
    else if (process_log.show_origin)
        put(text, &length, ":%s", file);
    put(text, &length, "] ");
    return length;
}

/* line 0: origin is a module's name. */
static void write_message(enum log_level level, const char *origin, int line, const char *format,
                          va_list args)
{
    char text[MAX_MESSAGE + 1];
    pthread_mutex_lock(&process_log.lock);
    if (is_wanted(level, origin)) {
        size_t length = put_prefix(text, level, origin, line), begin = length;
        int more = vsnprintf(text + length, MAX_MESSAGE - length, format, args);
        length += more > 0 ? (size_t)more : 0;
        if (length >= MAX_MESSAGE)
            length = MAX_MESSAGE - 1;
        /* One line, whatever a path or a guest put into it. */
        for (size_t i = begin; i < length; i++)
            text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
        text[length++] = '\n';
        if (write(process_log.fd, text, length) != (ssize_t)length && process_log.counters)
            metrics_add(&process_log.counters->missed_log_count, 1);
    }
    pthread_mutex_unlock(&process_log.lock);
}

void log_message(enum log_level level, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_message(level, file, line, format, args);
    va_end(args);
}

static void take(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void take(enum log_level level, const char *module, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_message(level, module, 0, format, args);
    va_end(args);
}

void log_take(enum vm_log_level level, const char *module, const char *text)
{
    /* One more than there, where no level is Off. */
    take((enum log_level)(level + 1), module, "%s", text);
}

void log_last_words(const char *text)
{
    /* Without the lock, which the thread may hold. */
    ssize_t written = write(process_log.fd, text, strlen(text));
    (void)written;
}

bool log_limit_allows(struct log_limit *limit)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&process_log.lock);
    if (limit->count == 0 || now.tv_sec - limit->window >= LOG_LIMIT_SECONDS)
        *limit = (struct log_limit){.window = now.tv_sec};
    bool allowed = limit->count < LOG_LIMIT_MESSAGES;
    if (allowed)
        limit->count++;
    else if (process_log.counters)
        metrics_add(&process_log.counters->rate_limited_log_count, 1);
    pthread_mutex_unlock(&process_log.lock);
    return allowed;
}
