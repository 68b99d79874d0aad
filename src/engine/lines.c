#include "engine/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/scope.h"

#define MAX_FILES 1024
#define BLOCK 65536
#define LOOK_AGAIN_MS 200

struct line_file {
    int fd;
    gzFile compressed; /* or NULL; owns fd then */
    ino_t inode;
};

struct lines {
    char *path;
    bool follows;
    int watch;               /* inotify, or -1 */
    struct line_file *files; /* those still to be read, the one that is being read last */
    size_t count;
    ino_t inode;    /* of the file that is, or was, PATH when it was opened */
    off_t position; /* in it, of what was read */
    bool again;
    bool skipping; /* what follows is the rest of a line that is too long */
    char *buffer;
    size_t begin, end, room;
};

static void close_file(struct line_file *file)
{
    if (file->compressed)
        gzclose(file->compressed);
    else if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    file->compressed = NULL;
}

static void close_files(struct lines *lines)
{
    while (lines->count > 0)
        close_file(&lines->files[--lines->count]);
}

/* 1: opened; 0: there is none of the name. */
static int open_file(struct line_file *file, const char *path, bool compressed, struct error *err)
{
    struct stat status;
    *file = (struct line_file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    if (file->fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", path);
    if (fstat(file->fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close_file(file);
        return error_set(err, 0, "%s is not a file", path);
    }
    file->inode = status.st_ino;
    if (compressed && !(file->compressed = gzdopen(file->fd, "rb"))) {
        close_file(file);
        return error_set(err, ENOMEM, "can't read %s", path);
    }
    return 1;
}

static int open_number(const struct lines *lines, int number, struct line_file *file,
                       struct error *err)
{
    scope_free char *plain = memory_format("%s.%d", lines->path, number);
    scope_free char *compressed = memory_format("%s.gz", plain);
    int found = open_file(file, plain, false, err);
    return found ? found : open_file(file, compressed, true, err);
}

static void add_file(struct lines *lines, const struct line_file *file)
{
    lines->files = memory_resize(lines->files, lines->count + 1, sizeof *lines->files);
    lines->files[lines->count++] = *file;
}

/* Opens PATH and its predecessors down to the one that is `until` (0: all of them), which isn't
 * opened. 1: done, 2: done, and `until` was not among them. 0: the files were rotated meanwhile. */
static int open_all(struct lines *lines, ino_t until, struct error *err)
{
    struct line_file file;
    int found = open_file(&file, lines->path, false, err), missing = 0;
    bool met = false;
    lines->inode = 0;
    lines->position = 0;
    if (found < 0)
        return -1;
    if (!found && until)
        return 0; /* it has its next name already, and the new one isn't there yet */
    if (found) {
        lines->inode = file.inode;
        add_file(lines, &file);
    }
    /* Who was killed while rotating leaves a gap of one. */
    for (int number = 1; number < MAX_FILES && missing < 2 && !met; number++) {
        found = open_number(lines, number, &file, err);
        if (found < 0)
            return -1;
        missing = found ? 0 : missing + 1;
        if (!found)
            continue;
        met = until && file.inode == until;
        if (met || (lines->count > 0 && file.inode == lines->files[lines->count - 1].inode)) {
            close_file(&file);
            if (!met)
                return 0;
        } else {
            add_file(lines, &file);
        }
    }
    return until && !met ? 2 : 1;
}

static int open_until(struct lines *lines, ino_t until, struct error *err)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        int result = open_all(lines, until, err);
        if (result != 0)
            return result;
        close_files(lines);
    }
    return error_set(err, EAGAIN, "%s is rotated too fast to be read", lines->path);
}

/* Where the user has no inotify instance left (there are 128), we look again and again instead. */
static int watch(struct lines *lines, struct error *err)
{
    const char *slash = strrchr(lines->path, '/');
    scope_free char *directory =
        slash ? memory_format("%.*s/", (int)(slash - lines->path), lines->path)
              : memory_copy_string(".");
    lines->follows = true;
    lines->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (lines->watch < 0)
        return errno == EMFILE ? 0 : error_set(err, errno, "can't watch files");
    if (inotify_add_watch(lines->watch, directory,
                          IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                              IN_DELETE_SELF | IN_ONLYDIR) >= 0)
        return 0;
    if (errno != ENOSPC)
        return error_set(err, errno, "can't watch %s", directory);
    close(lines->watch);
    lines->watch = -1;
    return 0;
}

int lines_open(struct lines **result, const char *path, bool follow, struct error *err)
{
    struct lines *lines = *result = memory_allocate(1, sizeof *lines);
    lines->path = memory_copy_string(path);
    lines->watch = -1;
    lines->room = BLOCK;
    lines->buffer = memory_allocate(1, lines->room + 1);
    if ((follow && watch(lines, err) < 0) || open_until(lines, 0, err) < 0) {
        lines_close(result);
        return -1;
    }
    return 0;
}

void lines_close(struct lines **result)
{
    struct lines *lines = *result;
    if (!lines)
        return;
    close_files(lines);
    if (lines->watch >= 0)
        close(lines->watch);
    free(lines->files);
    free(lines->buffer);
    free(lines->path);
    free(lines);
    *result = NULL;
}

/* ---- the last lines ---- */

/* How many lines there are in a compressed file; it is read from its beginning again. */
static uint64_t count_compressed(struct line_file *file)
{
    scope_free char *block = memory_allocate(1, BLOCK);
    uint64_t count = 0;
    int got;
    while ((got = gzread(file->compressed, block, BLOCK)) > 0)
        for (const char *at = block; (at = memchr(at, '\n', (size_t)(block + got - at))); at++)
            count++;
    gzrewind(file->compressed);
    return count;
}

static void skip_compressed(struct line_file *file, uint64_t count)
{
    scope_free char *text = memory_allocate(1, BLOCK);
    while (count > 0 && gzgets(file->compressed, text, BLOCK)) {
        size_t length = strlen(text);
        count -= length > 0 && text[length - 1] == '\n';
    }
}

/* Goes to where the last *wanted lines begin, or to the beginning, and takes off *wanted how many
 * there are from there on. */
static void skip_plain(struct line_file *file, uint64_t *wanted)
{
    scope_free char *block = memory_allocate(1, BLOCK);
    off_t at = lseek(file->fd, 0, SEEK_END);
    uint64_t seen = 0;
    while (at > 0) {
        size_t count = at < BLOCK ? (size_t)at : BLOCK;
        at -= (off_t)count;
        ssize_t got = pread(file->fd, block, count, at);
        for (ssize_t i = got - 1; i >= 0; i--) {
            /* The newline that ends the line before the first that is wanted. */
            if (block[i] == '\n' && seen++ == *wanted) {
                lseek(file->fd, at + i + 1, SEEK_SET);
                *wanted = 0;
                return;
            }
        }
        if (got <= 0)
            break;
    }
    lseek(file->fd, 0, SEEK_SET);
    *wanted -= seen;
}

int lines_skip_to_last(struct lines *lines, uint64_t wanted, struct error *err)
{
    (void)err;
    size_t kept = 0;
    for (; kept < lines->count; kept++) {
        struct line_file *file = &lines->files[kept];
        if (file->compressed) {
            uint64_t count = wanted ? count_compressed(file) : 0;
            skip_compressed(file, count > wanted ? count - wanted : 0);
            wanted -= count < wanted ? count : wanted;
        } else {
            skip_plain(file, &wanted);
            if (kept == 0 && file->inode == lines->inode)
                lines->position = lseek(file->fd, 0, SEEK_CUR);
        }
        if (wanted == 0) {
            kept++;
            break;
        }
    }
    /* The older ones. */
    while (lines->count > kept)
        close_file(&lines->files[--lines->count]);
    return 0;
}

/* ---- one after the other ---- */

/* Makes room at the buffer's end; a line that would need more than the most is dropped. */
static void make_room(struct lines *lines)
{
    if (lines->begin > 0) {
        memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    } else if (lines->end == lines->room && lines->room >= LINES_LONGEST) {
        lines->skipping = true;
        lines->end = 0;
    }
    if (lines->end == lines->room) {
        lines->room *= 2;
        lines->buffer = memory_resize(lines->buffer, lines->room + 1, 1);
    }
}

/* Reads on in the file that is being read: the number of bytes, 0 at its end. What can't be
 * decompressed is its end, too. */
static ssize_t fill(struct lines *lines, struct error *err)
{
    struct line_file *file = &lines->files[lines->count - 1];
    make_room(lines);
    size_t room = lines->room - lines->end;
    ssize_t got = file->compressed
                      ? gzread(file->compressed, lines->buffer + lines->end, (unsigned int)room)
                      : read(file->fd, lines->buffer + lines->end, room);
    if (got < 0 && file->compressed)
        return 0;
    if (got < 0)
        return error_set(err, errno, "can't read %s", lines->path);
    if (file->inode == lines->inode)
        lines->position += got;
    lines->end += (size_t)got;
    return got;
}

/* Takes a whole line out of the buffer. */
static bool take_line(struct lines *lines, char **line, size_t *length)
{
    for (;;) {
        char *start = lines->buffer + lines->begin;
        char *newline = memchr(start, '\n', lines->end - lines->begin);
        if (!newline)
            return false;
        lines->begin = (size_t)(newline + 1 - lines->buffer);
        if (!lines->skipping) {
            *newline = '\0';
            *line = start;
            *length = (size_t)(newline - start);
            return true;
        }
        lines->skipping = false;
    }
}

/* At the end of the newest file: whether there is another by now, or this one begins anew. 1: go on
 * reading. */
static int look_for_more(struct lines *lines, struct error *err)
{
    struct stat now;
    bool is_there = stat(lines->path, &now) == 0;
    if (!lines->follows || !is_there)
        return 0;
    if (lines->count > 0 && now.st_ino == lines->inode) {
        if (now.st_size >= lines->position)
            return 0;
        lseek(lines->files[0].fd, 0, SEEK_SET); /* somebody has emptied it */
        lines->position = 0;
        lines->begin = lines->end = 0;
        return 1;
    }
    /* It was renamed; its writer may have written until then. */
    if (lines->count > 0) {
        ssize_t got = fill(lines, err);
        if (got != 0)
            return got < 0 ? -1 : 1;
    }
    /* Kept open until then, so that its number isn't another's. */
    struct line_file old = {.fd = -1};
    struct error why;
    const ino_t inode = lines->inode;
    const off_t position = lines->position;
    if (lines->count > 0)
        old = lines->files[--lines->count];
    int opened = open_until(lines, inode, &why);
    if (opened < 0 && why.code == EAGAIN && old.fd >= 0) {
        /* In the middle of a rotation, whose end is an event: we look again then. */
        add_file(lines, &old);
        lines->inode = inode;
        lines->position = position;
        return 0;
    }
    close_file(&old);
    lines->begin = lines->end = 0;
    lines->skipping = false;
    lines->again = lines->again || opened == 2;
    if (opened < 0)
        return error_set(err, 0, "%s", why.text);
    return lines->count > 0;
}

int lines_next(struct lines *lines, char **line, size_t *length, bool *again, struct error *err)
{
    for (;;) {
        if (take_line(lines, line, length)) {
            *again = lines->again;
            return 1;
        }
        ssize_t got = lines->count > 0 ? fill(lines, err) : 0;
        if (got > 0)
            continue;
        if (got < 0)
            return -1;
        if (lines->count > 1) {
            close_file(&lines->files[--lines->count]);
            lines->begin = lines->end = 0;
            lines->skipping = false;
            continue;
        }
        int more = look_for_more(lines, err);
        if (more <= 0)
            return more;
    }
}

int lines_wait(struct lines *lines, int fd, int timeout, struct error *err)
{
    char events[4096];
    struct pollfd polled[] = {{lines->watch, POLLIN, 0}, {fd, POLLIN, 0}};
    if (lines->watch < 0 && (timeout < 0 || timeout > LOOK_AGAIN_MS))
        timeout = LOOK_AGAIN_MS;
    if (poll(polled, 2, timeout) < 0 && errno != EINTR)
        return error_set(err, errno, "can't wait for %s", lines->path);
    while (lines->watch >= 0 && read(lines->watch, events, sizeof events) > 0)
        continue;
    return 0;
}
