/* The json-file log, as docker writes it: a record a line,
 *
 *     {"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.678901234Z"}
 *
 * A line longer than 16 KiB becomes several records, all but the last without "\n". What can't be
 * written (a full disk) is dropped, whole records at a time; the container doesn't notice. */
#ifndef HULL_MONITOR_LOG_FILE_H
#define HULL_MONITOR_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/children.h"

#define LOG_LINE_SIZE 16384

struct log_line {
    char *text; /* LOG_LINE_SIZE bytes once there was a line that hadn't ended */
    size_t length;
};

struct log_file {
    const char *path; /* NULL: driver none */
    int64_t max_size;
    int max_file;
    bool compress;
    const char *attributes;
    struct children *children; /* where gzip runs; NULL: nothing is compressed */
    int fd;
    int64_t size;             /* of what was written whole */
    struct log_line lines[2]; /* stdout, stderr */
    char *records;            /* complete ones that aren't written yet */
    size_t length, room;
    uint64_t dropped; /* records that couldn't be written */
    struct child compressor;
};

/* path and attributes stay the caller's. Appends to an existing file; a record that a killed writer
 * left half written is cut off. */
int log_file_open(struct log_file *log, struct error *err);
/* Takes output. stream: 1 stdout, 2 stderr. */
void log_file_write(struct log_file *log, int stream, const char *bytes, size_t count);
/* The streams have ended: writes lines that had no end. */
void log_file_finish(struct log_file *log);
void log_file_close(struct log_file *log);

#endif
