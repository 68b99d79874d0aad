/* What files have beside their contents. Overlayfs' own attributes never come from an archive: they
 * could lead to other files of lower layers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/extract.h"

#define DIRECTORY_BYTES_MAX (512u << 20) /* memory for the directories of one archive */

void extract_warn(struct extraction *extraction, enum extract_warning kind, const char *format, ...)
{
    struct error text = {0};
    va_list args;
    if (extraction->warned & kind)
        return;
    extraction->warned |= kind;
    va_start(args, format);
    vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    warnings_say(extraction->options->warnings, &text);
}

static struct timespec entry_time(const struct extraction *extraction, struct archive_entry *entry)
{
    const struct archive_library *library = extraction->library;
    return (struct timespec){.tv_sec = library->archive_entry_mtime(entry),
                             .tv_nsec = library->archive_entry_mtime_nsec(entry)};
}

static bool wants_owner(const struct extraction *extraction)
{
    return extraction->options->owners || extraction->options->fixed_owner;
}

static void choose_owner(const struct extraction *extraction, struct archive_entry *entry,
                         int64_t *uid, int64_t *gid)
{
    const struct archive_extract_options *options = extraction->options;
    *uid = options->fixed_owner ? options->uid : extraction->library->archive_entry_uid(entry);
    *gid = options->fixed_owner ? options->gid : extraction->library->archive_entry_gid(entry);
}

static int check_owner(int64_t uid, int64_t gid, struct error *err)
{
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return error_set(err, 0, "the archive's owner %lld:%lld is out of range", (long long)uid,
                         (long long)gid);
    return 0;
}

/* Whether the new file, which is the caller's, needs another owner. Only in a layer are all
 * directories our own: elsewhere one with the setgid bit may have given it another group. */
static bool needs_owner(const struct extraction *extraction, int64_t uid, int64_t gid)
{
    return !extraction->options->layer || uid != geteuid() || gid != getegid();
}

static int explain_owner(const char *name, int64_t uid, int64_t gid, struct error *err)
{
    return error_set(err, errno, "can't give %s to %lld:%lld%s", name, (long long)uid,
                     (long long)gid,
                     errno == EINVAL ? " (the user namespace has no such id: more subordinate ids "
                                       "are needed in /etc/subuid and /etc/subgid)"
                                     : "");
}

static bool is_refused(const char *key)
{
    return strncmp(key, "trusted.overlay.", 16) == 0 || strncmp(key, "user.overlay.", 13) == 0;
}

int extract_set_xattrs(struct extraction *extraction, struct archive_entry *entry, int fd,
                       int parent, const char *name, struct error *err)
{
    const struct archive_library *library = extraction->library;
    const char *key;
    const void *value;
    size_t size;
    char path[64 + NAME_MAX];
    int left = library->archive_entry_xattr_reset(entry);
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", parent, name);
    while (left-- > 0 && library->archive_entry_xattr_next(entry, &key, &value, &size) == 0) {
        if (!key || is_refused(key))
            continue;
        int result =
            fd >= 0 ? fsetxattr(fd, key, value, size, 0) : lsetxattr(path, key, value, size, 0);
        if (result == 0)
            continue;
        if (errno != ENOTSUP && errno != EPERM)
            return error_set(err, errno, "can't set the attribute %.100s of %s", key, name);
        extract_warn(extraction, EXTRACT_WARN_XATTR,
                     "the file system or its rules don't allow the attribute %.100s of %s", key,
                     name);
    }
    return 0;
}

int extract_set_file_attributes(struct extraction *extraction, struct archive_entry *entry, int fd,
                                mode_t created_mode, struct error *err)
{
    const char *name = extraction->library->archive_entry_pathname(entry);
    mode_t mode = extraction->library->archive_entry_perm(entry) & 07777;
    int64_t uid, gid;
    choose_owner(extraction, entry, &uid, &gid);
    bool chowned = wants_owner(extraction) && needs_owner(extraction, uid, gid);
    if (chowned && (check_owner(uid, gid, err) < 0))
        return -1;
    if (chowned && fchown(fd, (uid_t)uid, (gid_t)gid) < 0)
        return explain_owner(name, uid, gid, err);
    /* A change of owner, and writing, clear setuid and setgid. */
    if ((mode != created_mode || (mode & 06000)) && fchmod(fd, mode) < 0)
        return error_set(err, errno, "can't set the mode of %s", name);
    if (extract_set_xattrs(extraction, entry, fd, -1, name, err) < 0)
        return -1;
    struct timespec times[2] = {entry_time(extraction, entry), entry_time(extraction, entry)};
    if (extraction->library->archive_entry_mtime_is_set(entry) && futimens(fd, times) < 0)
        return error_set(err, errno, "can't set the time of %s", name);
    return 0;
}

int extract_set_place_attributes(struct extraction *extraction, struct archive_entry *entry,
                                 int parent, const char *name, struct error *err)
{
    const struct archive_library *library = extraction->library;
    int64_t uid, gid;
    choose_owner(extraction, entry, &uid, &gid);
    if (wants_owner(extraction) && needs_owner(extraction, uid, gid) &&
        (check_owner(uid, gid, err) < 0 ||
         fchownat(parent, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0))
        return err->text[0] ? -1 : explain_owner(name, uid, gid, err);
    bool link = library->archive_entry_filetype(entry) == AE_IFLNK;
    if (!link && fchmodat(parent, name, library->archive_entry_perm(entry) & 07777, 0) < 0)
        return error_set(err, errno, "can't set the mode of %s", name);
    if (extract_set_xattrs(extraction, entry, -1, parent, name, err) < 0)
        return -1;
    struct timespec times[2] = {entry_time(extraction, entry), entry_time(extraction, entry)};
    if (library->archive_entry_mtime_is_set(entry) &&
        utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, errno, "can't set the time of %s", name);
    return 0;
}

int extract_defer_directory(struct extraction *extraction, struct archive_entry *entry,
                            const char *path, struct error *err)
{
    int64_t uid = geteuid(), gid = getegid();
    if (wants_owner(extraction))
        choose_owner(extraction, entry, &uid, &gid);
    if (check_owner(uid, gid, err) < 0)
        return -1;
    extraction->directory_bytes += strlen(path) + 1 + sizeof *extraction->directories;
    if (extraction->directory_bytes > DIRECTORY_BYTES_MAX)
        return error_set(err, 0, "the archive has too many directories (%zu)",
                         extraction->directory_count);
    if (extraction->directory_count == extraction->directory_room) {
        extraction->directory_room =
            extraction->directory_room ? 2 * extraction->directory_room : 64;
        extraction->directories = memory_resize(extraction->directories, extraction->directory_room,
                                                sizeof *extraction->directories);
    }
    extraction->directories[extraction->directory_count] = (struct extract_directory){
        .path = memory_copy_string(path),
        .serial = extraction->directory_count,
        .mode = extraction->library->archive_entry_perm(entry) & 07777,
        .uid = (uint32_t)uid,
        .gid = (uint32_t)gid,
        .time = entry_time(extraction, entry),
    };
    extraction->directory_count++;
    return 0;
}

static int set_directory(const struct extraction *extraction,
                         const struct extract_directory *directory, struct error *err)
{
    scope_close int fd = file_open_resolved(
        extraction->root, *directory->path ? directory->path : ".",
        O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    /* A later entry may have taken its place. */
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0)
        return error_set(err, errno, "can't open the directory %s", directory->path);
    if (wants_owner(extraction) && needs_owner(extraction, directory->uid, directory->gid) &&
        fchown(fd, directory->uid, directory->gid) < 0)
        return explain_owner(directory->path, directory->uid, directory->gid, err);
    if (fchmod(fd, directory->mode) < 0)
        return error_set(err, errno, "can't set the mode of %s", directory->path);
    struct timespec times[2] = {directory->time, directory->time};
    if (futimens(fd, times) < 0)
        return error_set(err, errno, "can't set the time of %s", directory->path);
    return 0;
}

/* Deepest first, so that a directory whose mode shuts out its owner comes after those in it; of one
 * that is there twice the later is right. */
static int compare_paths(const void *left, const void *right)
{
    const struct extract_directory *one = left, *other = right;
    int order = strcmp(other->path, one->path);
    return order ? order : (one->serial > other->serial) - (one->serial < other->serial);
}

static int compare_path(const void *path, const void *directory)
{
    /* The array is sorted backwards. */
    return strcmp(((const struct extract_directory *)directory)->path, path);
}

/* Directories that were described after they had been made. */
static void forget_described(const struct extraction *extraction)
{
    struct archive_extract_result *result = extraction->result;
    size_t kept = 0;
    for (size_t i = 0; i < result->implicit_count; i++) {
        char *path = result->implicit[i];
        if (bsearch(path, extraction->directories, extraction->directory_count,
                    sizeof *extraction->directories, compare_path))
            free(path);
        else
            result->implicit[kept++] = path;
    }
    result->implicit_count = kept;
}

int extract_set_directories(struct extraction *extraction, struct error *err)
{
    if (extraction->directory_count)
        qsort(extraction->directories, extraction->directory_count, sizeof *extraction->directories,
              compare_paths);
    if (extraction->directory_count)
        forget_described(extraction);
    for (size_t i = 0; i < extraction->directory_count; i++)
        if (set_directory(extraction, &extraction->directories[i], err) < 0)
            return -1;
    return 0;
}
