#include "monitor/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/log_record.h"
#include "monitor/log_rotate.h"

#define FLUSH_SIZE 32768

/* ---- the file ---- */

/* A writer that was killed may have left half a record: readers would stumble over it, and over the
 * one written behind it. */
static int cut_half_record(int fd, int64_t *size)
{
    char bytes[4096];
    while (*size > 0) {
        size_t count = *size < (int64_t)sizeof bytes ? (size_t)*size : sizeof bytes;
        if (pread(fd, bytes, count, *size - (int64_t)count) != (ssize_t)count)
            return -1;
        const char *end = memrchr(bytes, '\n', count);
        *size -= (int64_t)(end ? count - (size_t)(end + 1 - bytes) : count);
        if (end)
            break;
    }
    return ftruncate(fd, *size);
}

static int open_file(struct log_file *log, struct error *err)
{
    struct stat status;
    scope_close int fd =
        open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open the log %s", log->path);
    log->size = status.st_size;
    if (cut_half_record(fd, &log->size) < 0)
        return error_set(err, errno, "can't repair the log %s", log->path);
    log->fd = scope_take_fd(&fd);
    return 0;
}

int log_file_open(struct log_file *log, struct error *err)
{
    log->fd = -1;
    return log->path ? open_file(log, err) : 0;
}

static void flush(struct log_file *log)
{
    if (log->length == 0)
        return;
    if (log->fd < 0)
        open_file(log, NULL); /* a rotation that didn't get that far */
    if (log->fd >= 0 && file_write_all(log->fd, log->records, log->length) == 0) {
        log->size += (int64_t)log->length;
    } else {
        for (size_t i = 0; i < log->length; i++)
            log->dropped += log->records[i] == '\n';
        if (log->fd >= 0 && ftruncate(log->fd, log->size) < 0) {
            /* What is half there may stay; the next opening cuts it off. */
            close(log->fd);
            log->fd = -1;
        }
    }
    log->length = 0;
}

static void rotate_if_full(struct log_file *log)
{
    if (log->max_size <= 0 || log->size + (int64_t)log->length < log->max_size)
        return;
    flush(log);
    /* While gzip reads log.1 that name must stay its: the file grows meanwhile. */
    if (log->size < log->max_size || log->compressor.pid)
        return;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    log_rotate(log);
    open_file(log, NULL);
}

/* ---- records ---- */

static void add_record(struct log_file *log, int stream, const char *text, size_t count, bool ends)
{
    struct timespec now;
    char time_text[40];
    rotate_if_full(log);
    clock_gettime(CLOCK_REALTIME, &now);
    document_format_time(time_text, &now);
    size_t most = LOG_RECORD_ROOM(count) + (log->attributes ? strlen(log->attributes) : 0);
    if (log->length && log->length + most > log->room)
        flush(log);
    if (most > log->room) {
        log->room = most > FLUSH_SIZE ? most : FLUSH_SIZE;
        log->records = memory_resize(log->records, log->room, 1);
    }
    log->length += log_record_format(log->records + log->length, stream, text, count, ends,
                                     time_text, log->attributes);
}

/* Keeps a line's beginning until there is more of it, and gives out what is as long as a record can
 * be; without cutting a character in two. */
static void keep_beginning(struct log_file *log, int stream, const char *bytes, size_t count)
{
    struct log_line *line = &log->lines[stream - 1];
    if (!line->text)
        line->text = memory_allocate(LOG_LINE_SIZE, 1);
    while (count > 0) {
        size_t room = LOG_LINE_SIZE - line->length, taken = count < room ? count : room;
        memcpy(line->text + line->length, bytes, taken);
        line->length += taken;
        bytes += taken;
        count -= taken;
        if (line->length < LOG_LINE_SIZE)
            return;
        size_t whole = log_record_whole_characters(line->text, line->length);
        add_record(log, stream, line->text, whole, false);
        line->length -= whole;
        memmove(line->text, line->text + whole, line->length);
    }
}

void log_file_write(struct log_file *log, int stream, const char *bytes, size_t count)
{
    struct log_line *line = &log->lines[stream - 1];
    if (!log->path)
        return;
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t taken = end ? (size_t)(end - bytes) : count;
        if (end && line->length == 0 && taken <= LOG_LINE_SIZE) {
            add_record(log, stream, bytes, taken, true);
        } else {
            keep_beginning(log, stream, bytes, taken);
            if (end) {
                add_record(log, stream, line->text, line->length, true);
                line->length = 0;
            }
        }
        taken += end != NULL;
        bytes += taken;
        count -= taken;
    }
    flush(log);
}

void log_file_finish(struct log_file *log)
{
    for (int stream = 1; stream <= 2 && log->path; stream++) {
        struct log_line *line = &log->lines[stream - 1];
        if (line->length > 0)
            add_record(log, stream, line->text, line->length, false);
        line->length = 0;
        free(line->text);
        line->text = NULL;
    }
    flush(log);
}

void log_file_close(struct log_file *log)
{
    if (log->path)
        log_file_finish(log);
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    free(log->records);
    log->records = NULL;
    log->room = 0;
}
