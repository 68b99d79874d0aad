/* Writing a directory tree as a pax archive. Every file is opened anew from the root by its path,
 * without following links, so neither the depth of the tree nor who changes it meanwhile matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/archive_library.h"
#include "image/archive_xattrs.h"

#define BLOCK_SIZE (256u << 10)
#define ZEROS_SIZE (256u << 20)

/* A file with several names, and the first of them. */
struct linked_file {
    dev_t device;
    ino_t inode;
    char *name;
};

struct tree_writer {
    const struct archive_library *library;
    const struct archive_tree_options *options;
    struct archive *archive;
    struct archive_entry *entry;
    int root;
    /* Paths below root that are to be written, the next one last. */
    char **pending;
    size_t pending_count, pending_room;
    size_t base; /* the part of every path that isn't in its name */
    void *links; /* a tree of struct linked_file */
    char *block;
    const char *zeros; /* ZEROS_SIZE of them, none of which takes memory until it is read */
    archive_take *take;
    void *context;
    struct error *err;
};

static void push(struct tree_writer *writer, char *path)
{
    if (writer->pending_count == writer->pending_room) {
        writer->pending_room = writer->pending_room ? 2 * writer->pending_room : 64;
        writer->pending =
            memory_resize(writer->pending, writer->pending_room, sizeof *writer->pending);
    }
    writer->pending[writer->pending_count++] = path;
}

static int open_path(const struct tree_writer *writer, const char *path, uint64_t flags)
{
    return file_open_resolved(writer->root, *path ? path : ".", flags, 0,
                              RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

/* The name in the archive: without what is above the tree, with prefix and other name. */
static char *make_name(const struct tree_writer *writer, const char *path, const char *suffix)
{
    const struct archive_tree_options *options = writer->options;
    const char *rest = path + writer->base, *first = "";
    if (options->rename) {
        first = options->rename;
        rest += strcspn(rest, "/");
    }
    char *name =
        memory_format("%s%s%s%s", options->prefix ? options->prefix : "", first, rest, suffix);
    if (!*name || strcmp(name, "/") == 0) {
        free(name);
        return memory_copy_string("./");
    }
    return name;
}

static int fail_writing(const struct tree_writer *writer, const char *name)
{
    if (writer->err->text[0])
        return -1;
    const char *reason = writer->library->archive_error_string(writer->archive);
    return error_set(writer->err, 0, "can't write %s into the archive: %s", name,
                     reason ? reason : "unknown reason");
}

static int write_header(struct tree_writer *writer, const char *name)
{
    /* A warning would be about names that aren't UTF-8, which are written as they are. */
    if (writer->library->archive_write_header(writer->archive, writer->entry) < ARCHIVE_WARN)
        return fail_writing(writer, name);
    return 0;
}

static int compare_links(const void *left, const void *right)
{
    const struct linked_file *one = left, *other = right;
    if (one->device != other->device)
        return one->device < other->device ? -1 : 1;
    return (one->inode > other->inode) - (one->inode < other->inode);
}

static void free_link(void *node)
{
    struct linked_file *link = node;
    free(link->name);
    free(link);
}

/* The name under which the file is in the archive already, or NULL the first time. */
static const char *find_link(struct tree_writer *writer, const struct stat *status,
                             const char *name)
{
    if (status->st_nlink < 2 || S_ISDIR(status->st_mode))
        return NULL;
    struct linked_file *link = memory_allocate(1, sizeof *link);
    *link = (struct linked_file){status->st_dev, status->st_ino, NULL};
    struct linked_file **found = tsearch(link, &writer->links, compare_links);
    if (!found || *found != link) {
        free(link);
        return found ? (*found)->name : NULL;
    }
    link->name = memory_copy_string(name);
    return NULL;
}

/* Of a link or device itself, which can't be opened but by O_PATH. */
static void add_place_xattrs(const struct tree_writer *writer, const char *path)
{
    const char *slash = strrchr(path, '/');
    scope_free char *parent = memory_format("%.*s", slash ? (int)(slash - path) : 0, path);
    scope_close int fd = open_path(writer, parent, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        archive_xattrs_add_at(writer->library, writer->entry, fd, slash ? slash + 1 : path);
}

static void describe(struct tree_writer *writer, const char *name, const struct stat *status)
{
    const struct archive_library *library = writer->library;
    struct archive_entry *entry = writer->entry;
    library->archive_entry_clear(entry);
    library->archive_entry_set_pathname(entry, name);
    library->archive_entry_set_filetype(entry, status->st_mode & S_IFMT);
    library->archive_entry_set_perm(entry, status->st_mode & 07777);
    library->archive_entry_set_uid(entry, writer->options->root_owned ? 0 : status->st_uid);
    library->archive_entry_set_gid(entry, writer->options->root_owned ? 0 : status->st_gid);
    library->archive_entry_set_mtime(entry, status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
    library->archive_entry_set_size(entry, S_ISREG(status->st_mode) ? status->st_size : 0);
}

/* A marker of layers: an empty file. */
static int write_marker(struct tree_writer *writer, const char *name, const struct stat *like)
{
    struct stat status = *like;
    status.st_mode = S_IFREG | 0600;
    status.st_size = 0;
    describe(writer, name, &status);
    return write_header(writer, name);
}

static int write_whiteout(struct tree_writer *writer, const char *path, const struct stat *status)
{
    const char *slash = strrchr(path + writer->base, '/');
    const char *last = slash ? slash + 1 : path + writer->base;
    scope_free char *marker = memory_format("%.*s.wh.%s", (int)(last - path), path, last);
    scope_free char *name = make_name(writer, marker, "");
    return write_marker(writer, name, status);
}

/* Notes where the file has data; the rest needn't be written. */
static int add_sparse_map(struct tree_writer *writer, int fd, const struct stat *status)
{
    if (status->st_blocks * 512 >= status->st_size)
        return 0;
    off_t offset = 0;
    bool any = false;
    while (offset < status->st_size) {
        off_t data = lseek(fd, offset, SEEK_DATA);
        if (data < 0)
            break;
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0 || data >= status->st_size)
            break;
        hole = hole > status->st_size ? status->st_size : hole;
        writer->library->archive_entry_sparse_add_entry(writer->entry, data, hole - data);
        any = true;
        offset = hole;
    }
    if (!any)
        writer->library->archive_entry_sparse_add_entry(writer->entry, status->st_size, 0);
    return 0;
}

/* How many zeros there are from offset on: a hole, or what a file that has become shorter meanwhile
 * lacks. */
static int64_t measure_hole(int fd, int64_t offset, int64_t size)
{
    off_t data = lseek(fd, offset, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? size - offset : 0;
    return data > size ? size - offset : data - offset;
}

/* As many bytes as the header says. Nothing of a hole is read, however large somebody made it. */
static int write_contents(struct tree_writer *writer, int fd, int64_t size, const char *name)
{
    int64_t hole = 0, data_end = 0;
    for (int64_t offset = 0; offset < size;) {
        if (hole == 0 && offset >= data_end) {
            hole = measure_hole(fd, offset, size);
            off_t end = lseek(fd, offset + hole, SEEK_HOLE);
            data_end = end > offset ? end : size;
        }
        int64_t wanted = hole > 0 ? hole : size - offset, most = hole > 0 ? ZEROS_SIZE : BLOCK_SIZE;
        size_t count = (size_t)(wanted < most ? wanted : most);
        ssize_t got = hole > 0 ? (ssize_t)count : pread(fd, writer->block, count, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(writer->err, errno, "can't read %s", name);
        if (got == 0) {
            hole = size - offset;
            continue;
        }
        const void *bytes = hole > 0 ? writer->zeros : writer->block;
        if (writer->library->archive_write_data(writer->archive, bytes, (size_t)got) < 0)
            return fail_writing(writer, name);
        offset += got;
        hole -= hole > 0 ? got : 0;
    }
    return 0;
}

static int write_file(struct tree_writer *writer, const char *path, const char *name)
{
    struct stat status;
    scope_close int fd = open_path(writer, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP))
        return 0; /* removed meanwhile */
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(writer->err, errno, "can't read %s", name);
    if (!S_ISREG(status.st_mode))
        return 0;
    const char *link = find_link(writer, &status, name);
    describe(writer, name, &status);
    if (link) {
        writer->library->archive_entry_set_size(writer->entry, 0);
        writer->library->archive_entry_set_hardlink(writer->entry, link);
        return write_header(writer, name);
    }
    if (archive_xattrs_add(writer->library, writer->entry, fd, name, writer->err) < 0 ||
        add_sparse_map(writer, fd, &status) < 0 || write_header(writer, name) < 0)
        return -1;
    return write_contents(writer, fd, status.st_size, name);
}

static bool is_opaque(int fd)
{
    char value[4];
    return (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && *value == 'y') ||
           (fgetxattr(fd, "user.overlay.opaque", value, sizeof value) == 1 && *value == 'y');
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)right, *(char *const *)left);
}

/* Puts what is in the directory before everything that is pending, in the order of names. */
static int push_children(struct tree_writer *writer, int fd, const char *path)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = again < 0 ? NULL : fdopendir(again);
    if (!stream)
        return error_set(writer->err, errno, "can't read the directory %s", path);
    size_t first = writer->pending_count;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        if (file_is_dots(entry->d_name))
            continue;
        if (strlen(path) + strlen(entry->d_name) + 2 > PATH_MAX)
            return error_set(writer->err, ENAMETOOLONG, "%.100s…/%s", path, entry->d_name);
        push(writer, memory_format("%s%s%s", path, *path ? "/" : "", entry->d_name));
    }
    if (writer->pending_count > first)
        qsort(writer->pending + first, writer->pending_count - first, sizeof *writer->pending,
              compare_names);
    return 0;
}

static int write_directory(struct tree_writer *writer, const char *path, const char *given)
{
    struct stat status;
    scope_close int fd = open_path(writer, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(writer->err, errno, "can't read the directory %s", path);
    size_t length = strlen(given);
    scope_free char *name = memory_format("%s%s", given, given[length - 1] == '/' ? "" : "/");
    describe(writer, name, &status);
    if (archive_xattrs_add(writer->library, writer->entry, fd, name, writer->err) < 0 ||
        write_header(writer, name) < 0)
        return -1;
    if (writer->options->layer && is_opaque(fd)) {
        scope_free char *marker =
            memory_format("%s.wh..wh..opq", strcmp(name, "./") == 0 ? "" : name);
        if (write_marker(writer, marker, &status) < 0)
            return -1;
    }
    return push_children(writer, fd, path);
}

static int write_symbolic_link(struct tree_writer *writer, int fd, const char *path,
                               const char *name, const struct stat *status)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(fd, "", target, sizeof target - 1);
    if (length < 0)
        return error_set(writer->err, errno, "can't read the symbolic link %s", name);
    target[length] = '\0';
    describe(writer, name, status);
    writer->library->archive_entry_set_symlink(writer->entry, target);
    add_place_xattrs(writer, path);
    return write_header(writer, name);
}

static int write_node(struct tree_writer *writer, const char *path, const char *name,
                      const struct stat *status)
{
    describe(writer, name, status);
    if (!S_ISFIFO(status->st_mode)) {
        writer->library->archive_entry_set_rdevmajor(writer->entry, major(status->st_rdev));
        writer->library->archive_entry_set_rdevminor(writer->entry, minor(status->st_rdev));
    }
    add_place_xattrs(writer, path);
    return write_header(writer, name);
}

static int write_path(struct tree_writer *writer, const char *path)
{
    struct stat status;
    scope_close int fd = open_path(writer, path, O_PATH | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(writer->err, errno, "can't look at %s", path);
    if (writer->options->layer && S_ISCHR(status.st_mode) && status.st_rdev == 0)
        return write_whiteout(writer, path, &status);
    scope_free char *name = make_name(writer, path, "");
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return write_file(writer, path, name);
    case S_IFDIR:
        return write_directory(writer, path, name);
    case S_IFSOCK: {
        struct error text = {0};
        error_set(&text, 0, "socket %s is left out: archives have no sockets", name);
        warnings_say(writer->options->warnings, &text);
        return 0;
    }
    }
    const char *link = find_link(writer, &status, name);
    if (link) {
        describe(writer, name, &status);
        writer->library->archive_entry_set_hardlink(writer->entry, link);
        return write_header(writer, name);
    }
    return S_ISLNK(status.st_mode) ? write_symbolic_link(writer, fd, path, name, &status)
                                   : write_node(writer, path, name, &status);
}

static la_ssize_t write_out(struct archive *archive, void *context, const void *bytes, size_t count)
{
    struct tree_writer *writer = context;
    if (writer->take(writer->context, bytes, count, writer->err) == 0)
        return (la_ssize_t)count;
    writer->library->archive_set_error(archive, EIO, "%s", writer->err->text);
    return -1;
}

static int write_all(struct tree_writer *writer)
{
    const struct archive_library *library = writer->library;
    library->archive_write_set_format_pax(writer->archive);
    library->archive_write_set_format_option(writer->archive, "pax", "xattrheader", "SCHILY");
    library->archive_write_set_bytes_per_block(writer->archive, BLOCK_SIZE);
    library->archive_write_set_bytes_in_last_block(writer->archive, 1);
    if (library->archive_write_open(writer->archive, writer, NULL, write_out, NULL) != ARCHIVE_OK)
        return fail_writing(writer, "its beginning");
    while (writer->pending_count > 0) {
        scope_free char *path = writer->pending[--writer->pending_count];
        if (write_path(writer, path) < 0) {
            /* Or freeing would write what is missing of the entry. */
            library->archive_write_fail(writer->archive);
            return -1;
        }
    }
    if (library->archive_write_close(writer->archive) < ARCHIVE_WARN)
        return fail_writing(writer, "its end");
    return 0;
}

/* The path as it is after links in the directories above it were followed, inside of root. */
static char *resolve(int root, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    scope_free char *above = memory_format("%.*s", slash ? (int)(slash - path) : 0, path);
    char top[PATH_MAX], found[PATH_MAX], link[48];
    scope_close int parent = file_open_resolved(root, *above ? above : ".", O_PATH | O_DIRECTORY, 0,
                                                RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (parent < 0) {
        error_set(err, errno, "can't open the directory of %s", path);
        return NULL;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", root);
    ssize_t top_length = readlink(link, top, sizeof top - 1);
    snprintf(link, sizeof link, "/proc/self/fd/%d", parent);
    ssize_t length = readlink(link, found, sizeof found - 1);
    if (top_length < 0 || length < top_length || strncmp(found, top, (size_t)top_length) != 0) {
        error_set(err, errno, "can't find the directory of %s", path);
        return NULL;
    }
    found[length] = '\0';
    const char *inside = found + top_length + strspn(found + top_length, "/");
    return memory_format("%s%s%s", inside, *inside ? "/" : "", slash ? slash + 1 : path);
}

int archive_write_tree(int root, const char *path, const struct archive_tree_options *options,
                       archive_take *take, void *context, struct error *err)
{
    static const struct archive_tree_options no_options;
    struct error unheard = {0};
    struct tree_writer writer = {
        .library = archive_library_load(err),
        .options = options ? options : &no_options,
        .root = root,
        .take = take,
        .context = context,
        .err = err ? err : &unheard,
    };
    if (!writer.library)
        return -1;
    bool all = !*path || strcmp(path, ".") == 0;
    char *start = all ? memory_copy_string("") : resolve(root, path, err);
    if (!start)
        return -1;
    const char *last = strrchr(start, '/');
    writer.base = last ? (size_t)(last + 1 - start) : 0;
    writer.err->text[0] = '\0';
    push(&writer, start);
    void *zeros =
        mmap(NULL, ZEROS_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    writer.zeros = zeros;
    writer.block = memory_allocate(1, BLOCK_SIZE);
    writer.archive = writer.library->archive_write_new();
    writer.entry = writer.library->archive_entry_new();
    int status = zeros == MAP_FAILED ? error_set(writer.err, errno, "no memory for an archive")
                                     : write_all(&writer);
    writer.library->archive_entry_free(writer.entry);
    writer.library->archive_write_free(writer.archive);
    tdestroy(writer.links, free_link);
    while (writer.pending_count > 0)
        free(writer.pending[--writer.pending_count]);
    free(writer.pending);
    free(writer.block);
    if (zeros != MAP_FAILED)
        munmap(zeros, ZEROS_SIZE);
    return status;
}

int archive_take_file(void *context, const void *bytes, size_t count, struct error *err)
{
    const int *fd = context;
    if (file_write_all(*fd, bytes, count) < 0)
        return error_set(err, errno, "can't write the archive");
    return 0;
}
