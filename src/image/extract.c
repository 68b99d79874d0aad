#include "image/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/decompress.h"

#define ENTRIES_DEFAULT (8ll << 20)
#define BYTES_DEFAULT (64ll << 30)
#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* Where the entry goes: the directory, its name there, and the whole path. */
struct place {
    int parent;
    const char *name;
    const char *path;
};

static int write_block(struct extraction *extraction, int fd, const char *bytes, size_t count,
                       int64_t offset, const char *path, struct error *err)
{
    extraction->result->bytes += (int64_t)count;
    if (extraction->result->bytes > extraction->most_bytes)
        return error_set(err, 0,
                         "unpacked it has more than the %lld MiB that are allowed or free (is it a "
                         "bomb?)",
                         (long long)(extraction->most_bytes >> 20));
    while (count > 0) {
        ssize_t written = pwrite(fd, bytes, count, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set(err, errno, "can't write %s", path);
        bytes += written;
        offset += written;
        count -= (size_t)written;
    }
    return 0;
}

static int fail_reading(const struct extraction *extraction, struct error *err)
{
    if (extraction->err->text[0])
        return -1;
    const char *reason = extraction->library->archive_error_string(extraction->archive);
    return error_set(err, 0, "the archive is damaged: %s", reason ? reason : "unknown reason");
}

static int write_data(struct extraction *extraction, struct archive_entry *entry, int fd,
                      const char *path, struct error *err)
{
    const void *bytes;
    size_t count;
    la_int64_t offset;
    int64_t end = 0, size = extraction->library->archive_entry_size(entry);
    if (size == 0)
        return 0;
    for (;;) {
        int result = extraction->library->archive_read_data_block(extraction->archive, &bytes,
                                                                  &count, &offset);
        if (result == ARCHIVE_EOF)
            break;
        if (result < ARCHIVE_WARN || offset < 0)
            return fail_reading(extraction, err);
        if (write_block(extraction, fd, bytes, count, offset, path, err) < 0)
            return -1;
        if (offset + (int64_t)count > end)
            end = offset + (int64_t)count;
    }
    if (end < size && ftruncate(fd, size) < 0)
        return error_set(err, errno, "can't make %s %lld bytes long", path, (long long)size);
    return 0;
}

static int make_file(struct extraction *extraction, struct archive_entry *entry,
                     const struct place *place, struct error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    mode_t mode = extraction->library->archive_entry_perm(entry) & 0777;
    scope_close int fd = openat(place->parent, place->name, flags, mode);
    if (fd < 0 && errno == EEXIST) {
        if (extract_clear_place(extraction, place->parent, place->name, false, err) < 0)
            return -1;
        fd = openat(place->parent, place->name, flags, mode);
    }
    if (fd < 0)
        return error_set(err, errno, "can't make the file %s", place->path);
    extract_count_name(extraction, 1);
    if (write_data(extraction, entry, fd, place->path, err) < 0)
        return -1;
    return extract_set_file_attributes(extraction, entry, fd, mode, err);
}

static int make_directory(struct extraction *extraction, struct archive_entry *entry,
                          const struct place *place, struct error *err)
{
    struct stat status;
    bool was_whiteout = false;
    /* Open to the caller until everything is in it. */
    if (*place->name && mkdirat(place->parent, place->name, 0700) == 0) {
        extract_count_name(extraction, 1);
    } else if (*place->name) {
        if (errno != EEXIST ||
            fstatat(place->parent, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return error_set(err, errno, "can't make the directory %s", place->path);
        if (!S_ISDIR(status.st_mode)) {
            int cleared = extract_clear_place(extraction, place->parent, place->name, true, err);
            if (cleared < 0)
                return -1;
            was_whiteout = cleared == 1;
            if (mkdirat(place->parent, place->name, 0700) < 0)
                return error_set(err, errno, "can't make the directory %s", place->path);
            extract_count_name(extraction, 1);
        }
    }
    if (was_whiteout && extract_set_opaque(extraction, place->parent, place->name, err) < 0)
        return -1;
    if (extraction->library->archive_entry_xattr_reset(entry) > 0) {
        scope_close int fd = openat(place->parent, *place->name ? place->name : ".",
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return error_set(err, errno, "can't open the directory %s", place->path);
        if (extract_set_xattrs(extraction, entry, fd, -1, place->path, err) < 0)
            return -1;
    }
    return extract_defer_directory(extraction, entry, place->path, err);
}

static int make_symbolic_link(struct extraction *extraction, struct archive_entry *entry,
                              const struct place *place, struct error *err)
{
    const char *target = extraction->library->archive_entry_symlink(entry);
    if (!target || !*target || strlen(target) >= PATH_MAX)
        return error_set(err, 0, "the archive's symbolic link %s has no valid target", place->path);
    if (symlinkat(target, place->parent, place->name) < 0) {
        if (errno == EEXIST &&
            extract_clear_place(extraction, place->parent, place->name, false, err) < 0)
            return -1;
        if (symlinkat(target, place->parent, place->name) < 0)
            return error_set(err, errno, "can't make the symbolic link %s", place->path);
    }
    extract_count_name(extraction, 1);
    return extract_set_place_attributes(extraction, entry, place->parent, place->name, err);
}

static int open_target_parent(struct extraction *extraction, const char *target, const char **name)
{
    const char *slash = strrchr(target, '/');
    scope_free char *parent = memory_format("%.*s", slash ? (int)(slash - target) : 0, target);
    *name = slash ? slash + 1 : target;
    return file_open_resolved(extraction->root, *parent ? parent : ".", O_PATH | O_DIRECTORY, 0,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* To another file of the same archive. */
static int make_hard_link(struct extraction *extraction, const char *link,
                          const struct place *place, struct error *err)
{
    char target[PATH_MAX];
    const char *name;
    if (extract_clean_path(link, target, err) < 0)
        return error_wrap(err, "the hard link %s", place->path);
    scope_close int parent = *target ? open_target_parent(extraction, target, &name) : -1;
    if (parent < 0)
        return error_set(err, *target ? errno : EISDIR, "the hard link %s: its target %s",
                         place->path, target);
    if (linkat(parent, name, place->parent, place->name, 0) == 0) {
        extract_count_name(extraction, 1);
        return 0;
    }
    if (errno == EEXIST) {
        struct stat here, there;
        if (fstatat(place->parent, place->name, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
            here.st_ino == there.st_ino && here.st_dev == there.st_dev)
            return 0;
        if (extract_clear_place(extraction, place->parent, place->name, false, err) < 0)
            return -1;
        if (linkat(parent, name, place->parent, place->name, 0) == 0) {
            extract_count_name(extraction, 1);
            return 0;
        }
    }
    return error_set(err, errno, "can't make the hard link %s to %s", place->path, target);
}

static int make_node(struct extraction *extraction, struct archive_entry *entry,
                     const struct place *place, struct error *err)
{
    const struct archive_library *library = extraction->library;
    mode_t type = library->archive_entry_filetype(entry);
    dev_t device = 0;
    if (type != AE_IFIFO)
        device = makedev((unsigned int)library->archive_entry_rdevmajor(entry),
                         (unsigned int)library->archive_entry_rdevminor(entry));
    /* In a layer this would be a whiteout that isn't written as one. */
    if (type == AE_IFCHR && device == 0 && extraction->options->layer)
        return error_set(err, 0,
                         "the archive has the device 0:0 at %s, which overlayfs takes for a "
                         "whiteout",
                         place->path);
    if (mknodat(place->parent, place->name, type | 0600, device) < 0) {
        if (errno == EEXIST &&
            extract_clear_place(extraction, place->parent, place->name, false, err) < 0)
            return -1;
        if (mknodat(place->parent, place->name, type | 0600, device) < 0) {
            if (errno != EPERM)
                return error_set(err, errno, "can't make the device %s", place->path);
            extract_warn(extraction, EXTRACT_WARN_DEVICE,
                         "device %s is left out: only root may make devices", place->path);
            return 0;
        }
    }
    extract_count_name(extraction, 1);
    return extract_set_place_attributes(extraction, entry, place->parent, place->name, err);
}

/* OCI image-spec, layer, "Whiteouts": they are about the layers below, so what this layer has
 * itself stays. */
static int make_whiteout(struct extraction *extraction, const struct place *place,
                         struct error *err)
{
    const char *hidden = place->name + strlen(WHITEOUT);
    struct stat status;
    if (strcmp(place->name, WHITEOUT_OPAQUE) == 0)
        return extract_set_opaque(extraction, place->parent, ".", err);
    if (strncmp(place->name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
        return 0; /* aufs' own */
    if (!*hidden || file_is_dots(hidden))
        return error_set(err, 0, "the archive's whiteout %s hides nothing", place->path);
    if (fstatat(place->parent, hidden, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(status.st_mode) ? extract_set_opaque(extraction, place->parent, hidden, err)
                                       : 0;
    if (mknodat(place->parent, hidden, S_IFCHR, 0) < 0)
        return error_set(err, errno, "can't make the whiteout of %s", place->path);
    extract_count_name(extraction, 1);
    return 0;
}

static int make_by_type(struct extraction *extraction, struct archive_entry *entry,
                        const struct place *place, struct error *err)
{
    const char *link = extraction->library->archive_entry_hardlink(entry);
    if (link && *place->name)
        return make_hard_link(extraction, link, place, err);
    mode_t type = extraction->library->archive_entry_filetype(entry);
    if (!*place->name && type != AE_IFDIR)
        return error_set(err, 0, "the archive's root isn't a directory");
    switch (type) {
    case AE_IFREG:
        return make_file(extraction, entry, place, err);
    case AE_IFDIR:
        return make_directory(extraction, entry, place, err);
    case AE_IFLNK:
        return make_symbolic_link(extraction, entry, place, err);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return make_node(extraction, entry, place, err);
    default:
        return error_set(err, 0, "the archive's entry %s is of an unknown type", place->path);
    }
}

/* The first component under its other name. */
static int rename_path(const struct extraction *extraction, char path[PATH_MAX], struct error *err)
{
    const char *from = extraction->options->rename_from;
    size_t length = from ? strlen(from) : 0;
    if (!from || strncmp(path, from, length) != 0 || (path[length] && path[length] != '/'))
        return 0;
    scope_free char *renamed = memory_format("%s%s", extraction->options->rename_to, path + length);
    return extract_clean_path(renamed, path, err);
}

static int extract_entry(struct extraction *extraction, struct archive_entry *entry,
                         struct error *err)
{
    char path[PATH_MAX];
    const char *given = extraction->library->archive_entry_pathname(entry);
    if (!given)
        return error_set(err, 0, "the archive has an entry whose name can't be read");
    if (++extraction->result->entries > extraction->most_entries)
        return error_set(err, 0, "the archive has more than %lld entries",
                         (long long)extraction->most_entries);
    if (extract_clean_path(given, path, err) < 0 || rename_path(extraction, path, err) < 0)
        return -1;
    struct place place = {.path = path};
    place.parent = extract_open_parent(extraction, path, &place.name, err);
    if (place.parent < 0)
        return -1;
    if (extraction->options->layer && strncmp(place.name, WHITEOUT, strlen(WHITEOUT)) == 0)
        return make_whiteout(extraction, &place, err);
    return make_by_type(extraction, entry, &place, err);
}

static la_ssize_t read_next(struct archive *archive, void *context, const void **bytes)
{
    struct extraction *extraction = context;
    ssize_t count = extraction->next(extraction->context, bytes, extraction->err);
    if (count < 0)
        extraction->library->archive_set_error(archive, EIO, "%s", extraction->err->text);
    return count;
}

static int extract_all(struct extraction *extraction, struct error *err)
{
    const struct archive_library *library = extraction->library;
    struct archive *archive = extraction->archive;
    library->archive_read_support_format_tar(archive);
    library->archive_read_support_format_empty(archive);
    if (library->archive_read_open(archive, extraction, NULL, read_next, NULL) != ARCHIVE_OK)
        return fail_reading(extraction, err);
    for (;;) {
        struct archive_entry *entry;
        int result = library->archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF)
            return extract_set_directories(extraction, err);
        /* A warning is about names that aren't of the locale's character set, which are as they
         * were. */
        if (result < ARCHIVE_WARN)
            return fail_reading(extraction, err);
        if (extract_entry(extraction, entry, err) < 0)
            return -1;
    }
}

static void release(struct extraction *extraction)
{
    extraction->library->archive_read_free(extraction->archive);
    extract_forget_parent(extraction);
    for (size_t i = 0; i < extraction->directory_count; i++)
        free(extraction->directories[i].path);
    free(extraction->directories);
}

int archive_extract(int root, archive_next *next, void *context,
                    const struct archive_extract_options *options,
                    struct archive_extract_result *result, struct error *err)
{
    struct archive_extract_result ignored = {0};
    struct error unheard = {0};
    struct extraction extraction = {
        .library = archive_library_load(err),
        .options = options,
        .result = result ? result : &ignored,
        .root = root,
        .parent = -1,
        .most_bytes = options->limits.bytes ? options->limits.bytes : BYTES_DEFAULT,
        .most_entries = options->limits.entries ? options->limits.entries : ENTRIES_DEFAULT,
        .next = next,
        .context = context,
        .err = err ? err : &unheard,
    };
    if (!extraction.library)
        return -1;
    extraction.archive = extraction.library->archive_read_new();
    extraction.err->text[0] = '\0';
    mode_t mask = umask(0);
    int status = extract_all(&extraction, extraction.err);
    umask(mask);
    release(&extraction);
    archive_extract_result_release(&ignored);
    return status;
}

void archive_extract_result_release(struct archive_extract_result *result)
{
    for (size_t i = 0; i < result->implicit_count; i++)
        free(result->implicit[i]);
    free(result->implicit);
    *result = (struct archive_extract_result){0};
}

struct file_source {
    int fd;
    struct decompressor *decompressor;
    char *bytes;
};
#define FILE_SOURCE_SIZE (256u << 10)

static ssize_t read_file(void *context, void *bytes, size_t count, struct error *err)
{
    const struct file_source *source = context;
    ssize_t got;
    do
        got = read(source->fd, bytes, count);
    while (got < 0 && errno == EINTR);
    return got < 0 ? error_set(err, errno, "can't read the archive") : got;
}

static ssize_t next_of_file(void *context, const void **bytes, struct error *err)
{
    struct file_source *source = context;
    *bytes = source->bytes;
    return decompressor_read(source->decompressor, source->bytes, FILE_SOURCE_SIZE, err);
}

int archive_extract_file(int root, int fd, const struct archive_extract_options *options,
                         struct archive_extract_result *result, struct error *err)
{
    struct file_source source = {.fd = fd, .bytes = memory_allocate(1, FILE_SOURCE_SIZE)};
    source.decompressor = decompressor_new(read_file, &source, &options->limits);
    int status = archive_extract(root, next_of_file, &source, options, result, err);
    decompressor_free(source.decompressor);
    free(source.bytes);
    return status;
}
