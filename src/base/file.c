#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

char *file_read_all_fd(int fd, const char *name, size_t limit, size_t *length, struct error *err)
{
    struct stat status;
    size_t room = 4096, used = 0;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        (size_t)status.st_size <= limit)
        room = (size_t)status.st_size + 2;
    scope_free char *text = memory_allocate(1, room);
    for (;;) {
        ssize_t count = read(fd, text + used, room - used - 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            error_set(err, errno, "can't read %s", name);
            return NULL;
        }
        if (count == 0)
            break;
        used += (size_t)count;
        if (used > limit) {
            error_set(err, EFBIG, "%s is longer than %zu bytes", name, limit);
            return NULL;
        }
        if (used + 1 == room) {
            room *= 2;
            text = memory_resize(text, room, 1);
        }
    }
    text[used] = '\0';
    if (length)
        *length = used;
    return scope_take_pointer(text);
}

char *file_read_all(int directory, const char *path, size_t limit, size_t *length,
                    struct error *err)
{
    scope_close int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(err, errno, "can't open %s", path);
        return NULL;
    }
    return file_read_all_fd(fd, path, limit, length, err);
}

int file_write_all(int fd, const void *bytes, size_t count)
{
    const char *from = bytes;
    while (count > 0) {
        ssize_t written = write(fd, from, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        from += written;
        count -= (size_t)written;
    }
    return 0;
}

int file_lock(int fd, int operation)
{
    int result;
    do
        result = flock(fd, operation);
    while (result < 0 && errno == EINTR);
    return result;
}

bool file_is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int file_write_text(int directory, const char *path, const char *text, struct error *err)
{
    scope_close int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "can't open %s for writing", path);
    size_t length = strlen(text);
    ssize_t written;
    do {
        written = write(fd, text, length);
    } while (written < 0 && errno == EINTR);
    if (written < 0)
        return error_set(err, errno, "can't write '%s' to %s", text, path);
    if ((size_t)written != length)
        return error_set(err, EIO, "can't write all of '%s' to %s", text, path);
    return 0;
}

int file_make_directories(const char *path, mode_t mode, struct error *err)
{
    scope_free char *prefix = memory_copy_string(path);
    for (char *slash = prefix; *slash; *slash = '/') {
        slash = strchrnul(slash + 1, '/');
        char kept = *slash;
        *slash = '\0';
        if (mkdir(prefix, mode) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make the directory %s", prefix);
        if (!kept)
            break;
    }
    return 0;
}

int file_open_resolved(int directory, const char *path, uint64_t flags, uint64_t mode,
                       uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    long fd = -1;
    /* EAGAIN: a rename raced with the walk. Somebody who renames for ever gets an error. */
    for (int tries = 0; tries < 128; tries++) {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    return (int)fd;
}

int file_close_others(int first, const int *kept, size_t count, struct error *err)
{
    for (int from = first; from >= 0;) {
        int next = -1; /* the first of those to keep, from there on */
        for (size_t i = 0; i < count; i++) {
            if (kept[i] >= from && (next < 0 || kept[i] < next))
                next = kept[i];
        }
        if (next != from &&
            close_range((unsigned int)from, next < 0 ? ~0U : (unsigned int)next - 1, 0) < 0)
            return error_set(err, errno, "can't close other descriptors");
        from = next < 0 ? -1 : next + 1;
    }
    return 0;
}

void file_unescape_mount(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        unsigned int byte;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &byte) == 1) {
            *to++ = (char)byte;
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}
