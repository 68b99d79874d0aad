#include "image/registry_credentials_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/registry_helper.h"

#define SIZE_LIMIT (4 << 20)

char *registry_credentials_path(struct error *err)
{
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    if (directory && *directory)
        return memory_format("%s/config.json", directory);
    if (!home || !*home) {
        const struct passwd *user = getpwuid(geteuid());
        home = user ? user->pw_dir : NULL;
    }
    if (!home || !*home) {
        error_set(err, 0, "there is no home directory to keep credentials in (set DOCKER_CONFIG)");
        return NULL;
    }
    return memory_format("%s/.docker/config.json", home);
}

json_t *registry_credentials_read(const char *path, struct error *err)
{
    size_t length;
    struct error unread = {0};
    scope_secret char *text = file_read_all(AT_FDCWD, path, SIZE_LIMIT, &length, &unread);
    if (!text && unread.code == ENOENT)
        return json_object();
    if (!text) {
        error_set(err, 0, "%s", unread.text);
        return NULL;
    }
    if (length == 0) /* as docker leaves it when it is interrupted */
        return json_object();
    json_error_t fault;
    json_t *object = json_loadb(text, length, 0, &fault);
    if (!object) {
        error_set(err, 0, "%s: line %d: %s", path, fault.line, fault.text);
    } else if (!json_is_object(object)) {
        json_decref(object);
        object = NULL;
        error_set(err, 0, "%s: not an object", path);
    }
    return object;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? memory_copy_string("/")
                         : memory_format("%.*s", (int)(slash - path), path);
}

int registry_credentials_lock(const char *path, struct error *err)
{
    scope_free char *directory = directory_of(path);
    scope_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (file_make_directories(directory, 0700, err) < 0)
            return -1;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return error_set(err, errno, "can't open %s", directory);
    if (file_lock(fd, LOCK_EX) < 0)
        return error_set(err, errno, "can't lock %s", directory);
    return scope_take_fd(&fd);
}

/* The file keeps its owner where that is possible: sudo's is often another. */
static int fill(int fd, const char *path, const char *text)
{
    struct stat former;
    if (stat(path, &former) == 0 && fchown(fd, former.st_uid, former.st_gid) < 0 && errno != EPERM)
        return -1;
    if (file_write_all(fd, text, strlen(text)) < 0 || file_write_all(fd, "\n", 1) < 0)
        return -1;
    return fsync(fd);
}

int registry_credentials_write(const char *path, const json_t *object, struct error *err)
{
    scope_free char *behind_link = realpath(path, NULL);
    const char *target = behind_link ? behind_link : path;
    scope_secret char *text = json_dumps(object, JSON_INDENT(4) | JSON_REAL_PRECISION(17));
    if (!text)
        return error_set(err, 0, "can't write %s: it would be no JSON", target);
    /* Under the lock, so that what a killed process left of that name is nobody's. */
    scope_free char *beside = memory_format("%s.hull-new", target);
    unlink(beside);
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, errno, "can't write beside %s", target);
    if (fill(fd, target, text) < 0 || rename(beside, target) < 0) {
        int code = errno;
        unlink(beside);
        return error_set(err, code, "can't write %s", target);
    }
    return 0;
}
