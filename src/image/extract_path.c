/* Where entries go: clean names, and parent directories that can't be outside of the root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "image/extract.h"
#include "image/store.h"

#define IMPLICIT_MAX 1000000

int extract_clean_path(const char *name, char path[PATH_MAX], struct error *err)
{
    size_t used = 0;
    path[0] = '\0';
    for (const char *part = name; *part;) {
        size_t length = strcspn(part, "/");
        const char *rest = part + length + (part[length] == '/');
        if (length == 2 && memcmp(part, "..", 2) == 0) {
            if (used == 0)
                return error_set(err, 0, "the archive's entry '%.200s' leads out of its root",
                                 name);
            while (used > 0 && path[--used] != '/')
                ;
            path[used] = '\0';
        } else if (length > 0 && !(length == 1 && *part == '.')) {
            if (length > NAME_MAX || used + length + 2 > PATH_MAX)
                return error_set(err, ENAMETOOLONG, "the archive's entry '%.200s…'", name);
            if (used)
                path[used++] = '/';
            memcpy(path + used, part, length);
            used += length;
            path[used] = '\0';
        }
        part = rest;
    }
    return 0;
}

void extract_forget_parent(struct extraction *extraction)
{
    if (extraction->parent_known)
        close(extraction->parent);
    extraction->parent_known = extraction->parent_stale = false;
}

void extract_count_name(struct extraction *extraction, int change)
{
    if (extraction->result->names >= 0)
        extraction->result->names += change;
}

static int open_directory(const struct extraction *extraction, const char *path)
{
    return file_open_resolved(extraction->root, *path ? path : ".", O_PATH | O_DIRECTORY, 0,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static void split(const char *path, char parent[PATH_MAX], const char **name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(parent, path, length);
    parent[length] = '\0';
    *name = slash ? slash + 1 : path;
}

bool extract_is_whiteout(const struct extraction *extraction, const struct stat *status)
{
    return extraction->options->layer && S_ISCHR(status->st_mode) && status->st_rdev == 0;
}

int extract_set_opaque(struct extraction *extraction, int parent, const char *name,
                       struct error *err)
{
    scope_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const char *key =
        extraction->options->user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque";
    if (fd < 0 || fsetxattr(fd, key, "y", 1, 0) < 0)
        return error_set(err, errno, "can't mark the directory %s as opaque", name);
    return 0;
}

/* One directory that the archive takes for granted. */
static int make_implicit(struct extraction *extraction, const char *path, struct error *err)
{
    char above[PATH_MAX];
    const char *name;
    struct stat status;
    split(path, above, &name);
    scope_close int parent = open_directory(extraction, above);
    if (parent < 0)
        return error_set(err, errno, "can't open the directory of the archive's entry %s", path);
    bool whiteout = false;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        whiteout = extract_is_whiteout(extraction, &status);
        if (!whiteout || unlinkat(parent, name, 0) < 0)
            return error_set(err, ENOTDIR, "the archive has entries below %s", path);
    }
    if (mkdirat(parent, name, 0755) < 0)
        return error_set(err, errno, "can't make the directory %s", path);
    extract_count_name(extraction, whiteout ? 0 : 1);
    if (whiteout)
        return extract_set_opaque(extraction, parent, name, err);
    struct archive_extract_result *result = extraction->result;
    if (result->implicit_count >= IMPLICIT_MAX)
        return error_set(err, 0, "the archive leaves out more than %d directories", IMPLICIT_MAX);
    if ((result->implicit_count & (result->implicit_count - 1)) == 0)
        result->implicit =
            memory_resize(result->implicit, result->implicit_count ? 2 * result->implicit_count : 1,
                          sizeof *result->implicit);
    result->implicit[result->implicit_count++] = memory_copy_string(path);
    return 0;
}

static int make_missing(struct extraction *extraction, const char *path, struct error *err)
{
    char prefix[PATH_MAX];
    size_t length = strlen(path);
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(prefix, path, end);
        prefix[end] = '\0';
        int fd = open_directory(extraction, prefix);
        if (fd >= 0)
            close(fd);
        else if (errno != ENOENT && errno != ENOTDIR)
            return error_set(err, errno, "can't open the directory %s", prefix);
        else if (make_implicit(extraction, prefix, err) < 0)
            return -1;
    }
    return 0;
}

int extract_open_parent(struct extraction *extraction, const char *path, const char **name,
                        struct error *err)
{
    char above[PATH_MAX];
    split(path, above, name);
    if (extraction->parent_stale)
        extract_forget_parent(extraction);
    if (extraction->parent_known && strcmp(above, extraction->parent_path) == 0)
        return extraction->parent;
    extract_forget_parent(extraction);
    int fd = open_directory(extraction, above);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        if (make_missing(extraction, above, err) < 0)
            return -1;
        fd = open_directory(extraction, above);
    }
    if (fd < 0)
        return error_set(err, errno, "can't open the directory of the archive's entry %s", path);
    strcpy(extraction->parent_path, above);
    extraction->parent = fd;
    extraction->parent_known = true;
    return fd;
}

int extract_clear_place(struct extraction *extraction, int parent, const char *name,
                        bool for_directory, struct error *err)
{
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't look at %s", name);
    bool is_directory = S_ISDIR(status.st_mode);
    if (extraction->options->keep_types && is_directory != for_directory)
        return error_set(err, 0, "can't replace the %s %s by a %s",
                         is_directory ? "directory" : "file", name,
                         for_directory ? "directory" : "file");
    /* What it was may be part of the path to the parent that is remembered. */
    extraction->parent_stale = true;
    if (is_directory) {
        extraction->result->names = -1;
        return remove_tree(parent, name, NULL, err);
    }
    if (unlinkat(parent, name, 0) < 0)
        return error_set(err, errno, "can't replace %s", name);
    extract_count_name(extraction, -1);
    return extract_is_whiteout(extraction, &status);
}
