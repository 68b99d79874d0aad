/* Reading and writing the small files of a cgroup, and waiting. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

static int join(char *path, const char *directory, const char *file)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, file);
    if (length < 0 || length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

int cgroup_write(const char *directory, const char *file, const char *text, struct error *err)
{
    char path[PATH_MAX];
    struct error reason;
    if (join(path, directory, file) < 0)
        return error_set(err, errno, "%s/%s", directory, file);
    if (file_write_text(AT_FDCWD, path, text, &reason) == 0)
        return 0;
    if (reason.code == ENOENT)
        return error_set(err, ENOENT,
                         "can't set %s to '%s': the cgroup controller '%.*s' (or this setting of "
                         "it) isn't available in %s",
                         file, text, (int)strcspn(file, "."), file, directory);
    if (err)
        *err = reason;
    return -1;
}

int cgroup_write_number(const char *directory, const char *file, int64_t value, struct error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return cgroup_write(directory, file, text, err);
}

bool cgroup_has_file(const char *directory, const char *file)
{
    char path[PATH_MAX];
    return join(path, directory, file) == 0 && access(path, F_OK) == 0;
}

ssize_t cgroup_read(const char *directory, const char *file, char *buffer, size_t size)
{
    char path[PATH_MAX];
    if (join(path, directory, file) < 0)
        return -1;
    scope_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length;
    do {
        length = read(fd, buffer, size - 1);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -1;
    if (length > 0 && buffer[length - 1] == '\n')
        length--;
    buffer[length] = '\0';
    return length;
}

int cgroup_read_number(const char *directory, const char *file, uint64_t *value)
{
    char text[64];
    if (cgroup_read(directory, file, text, sizeof text) < 0)
        return -1;
    if (strcmp(text, "max") == 0) {
        *value = UINT64_MAX;
        return 0;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (end == text || errno) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

int cgroup_read_key(const char *directory, const char *file, const char *key, uint64_t *value)
{
    char text[8192];
    if (cgroup_read(directory, file, text, sizeof text) < 0)
        return -1;
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            *value = strtoull(line + length, NULL, 10);
            return 0;
        }
    }
    errno = ENODATA;
    return -1;
}

bool cgroup_list_has(const char *list, char separator, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, separator)) {
        at += *at == separator;
        if (strncmp(at, word, length) == 0 && (at[length] == separator || at[length] == '\0'))
            return true;
    }
    return false;
}

struct timespec cgroup_deadline(int seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_sec += seconds;
    return now;
}

int cgroup_deadline_left(const struct timespec *deadline)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = (deadline->tv_sec - now.tv_sec) * INT64_C(1000) +
                   (deadline->tv_nsec - now.tv_nsec) / 1000000;
    return left > 0 ? (int)left : 0;
}

void cgroup_back_off(int attempt)
{
    long microseconds = attempt < 8 ? 100L << attempt : 20000;
    struct timespec pause = {0, microseconds * 1000};
    nanosleep(&pause, NULL);
}
