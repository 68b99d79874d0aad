/* The source is written as an archive, in a process of its own, which the destination extracts.
 * What is done in a container with other ids is done by a process that has these ids. */
#include "engine/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "engine/apart.h"
#include "image/archive_library.h"

#define MAX_LINKS 40 /* as path_resolution(7) */

/* ---- where ---- */

/* What a path leads to: a directory, or a name in one. */
struct located {
    char *above;   /* of the last component, below root; "" is root */
    char *name;    /* of the last component; "" where the path is root or ends with ".." */
    int directory; /* above, opened (O_PATH) */
    int self;      /* it itself (O_PATH), -1 if it isn't there */
    struct stat status;
    bool has_slash; /* it was written as a directory: with a slash, or "/." */
    bool contents;  /* "/." */
};

static void release_located(struct located *located)
{
    free(located->above);
    free(located->name);
    if (located->directory >= 0)
        close(located->directory);
    if (located->self >= 0)
        close(located->self);
}
#define scope_located __attribute__((cleanup(release_located)))
#define NOT_LOCATED                                                                                \
    {                                                                                              \
        .directory = -1, .self = -1                                                                \
    }

/* Splits a path at its last component, which is a name; what ends with ".." has none. */
static void split(struct located *located, const char *path)
{
    scope_free char *copy = memory_copy_string(path);
    size_t length = strlen(copy);
    /* "a/b/", "a/b/." and "a/b//./" are "a/b". */
    for (;;) {
        if (length > 0 && copy[length - 1] == '/')
            located->has_slash = true;
        else if (length > 0 && copy[length - 1] == '.' && (length == 1 || copy[length - 2] == '/'))
            located->has_slash = located->contents = true;
        else
            break;
        copy[--length] = '\0';
    }
    char *slash = strrchr(copy, '/'), *name = slash ? slash + 1 : copy;
    bool is_name = *name && strcmp(name, "..") != 0;
    free(located->above);
    free(located->name);
    located->above =
        is_name ? memory_format("%.*s", (int)(name - copy), copy) : memory_copy_string(copy);
    located->name = memory_copy_string(is_name ? name : "");
}

static int open_in_root(int root, const char *path, uint64_t flags)
{
    return file_open_resolved(root, *path ? path : ".", flags, 0,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Opens the directory above and, if it is there, the place itself, which may be a link. */
static int look(struct located *located, const struct copy_place *place, struct error *err)
{
    if (located->directory >= 0)
        close(located->directory);
    if (located->self >= 0)
        close(located->self);
    located->self = -1;
    located->directory = open_in_root(place->root, located->above, O_PATH | O_DIRECTORY);
    if (located->directory < 0)
        return error_set(err, errno, "can't open the directory of %s", place->name);
    located->self = *located->name
                        ? openat(located->directory, located->name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
                        : fcntl(located->directory, F_DUPFD_CLOEXEC, 0);
    if (located->self < 0 && errno != ENOENT)
        return error_set(err, errno, "can't open %s", place->name);
    if (located->self >= 0 && fstat(located->self, &located->status) < 0)
        return error_set(err, errno, "can't look at %s", place->name);
    return 0;
}

/* follow: where a link is, goes on to where it leads, in root. */
static int locate(struct located *located, const struct copy_place *place, bool follow,
                  struct error *err)
{
    split(located, place->path);
    follow = follow || located->has_slash;
    for (int links = 0; links < MAX_LINKS; links++) {
        char target[PATH_MAX];
        if (look(located, place, err) < 0)
            return -1;
        if (!follow || located->self < 0 || !S_ISLNK(located->status.st_mode))
            return 0;
        ssize_t length = readlinkat(located->self, "", target, sizeof target - 1);
        if (length < 0)
            return error_set(err, errno, "can't read the link %s", place->name);
        target[length] = '\0';
        scope_free char *path = *target == '/' ? memory_copy_string(target)
                                               : memory_format("%s/%s", located->above, target);
        bool has_slash = located->has_slash, contents = located->contents;
        split(located, path);
        located->has_slash = has_slash;
        located->contents = contents;
    }
    return error_set(err, ELOOP, "can't open %s", place->name);
}

static bool is_directory(const struct located *located)
{
    return located->self >= 0 && S_ISDIR(located->status.st_mode);
}

/* The last component as it was written; "" for the root and the like. */
static char *written_name(const struct copy_place *place)
{
    scope_located struct located written = NOT_LOCATED;
    split(&written, place->path);
    return memory_copy_string(written.name);
}

static int locate_source(struct located *source, const struct copy_place *place, bool follow,
                         struct error *err)
{
    if (locate(source, place, follow, err) < 0)
        return -1;
    if (source->self < 0)
        return error_set(err, ENOENT, "can't find %s", place->name);
    if (source->has_slash && !is_directory(source))
        return error_set(err, ENOTDIR, "can't copy %s", place->name);
    return 0;
}

/* ---- out ---- */

/* name: what the source is to be called; "" for a directory's contents alone. */
static int write_source(const struct located *source, const char *name,
                        const struct warnings *warnings, archive_take *take, void *context,
                        struct error *err)
{
    scope_free char *prefix = memory_format("%s/", name);
    struct archive_tree_options options = {.warnings = warnings};
    if (!is_directory(source)) {
        options.rename = name;
        return archive_write_tree(source->directory, source->name, &options, take, context, err);
    }
    options.prefix = *name ? prefix : NULL;
    return archive_write_tree(source->self, "", &options, take, context, err);
}

struct copy_writer {
    const struct located *source;
    const char *name;
    const struct warnings *warnings;
    int ends[2]; /* of the pipe */
    int64_t bytes;
};

static int take_into_pipe(void *context, const void *bytes, size_t count, struct error *err)
{
    struct copy_writer *writer = context;
    writer->bytes += (int64_t)count;
    return archive_take_file(&writer->ends[1], bytes, count, err);
}

/* In another process, which mustn't keep the pipe open for who reads. */
static int64_t write_into_pipe(void *context, struct error *err)
{
    struct copy_writer *writer = context;
    close(writer->ends[0]);
    return write_source(writer->source, writer->name, writer->warnings, take_into_pipe, writer,
                        err) < 0
               ? -1
               : writer->bytes;
}

/* The pipe's end for reading is the caller's, also if this fails. */
static int start_writer(struct copy_writer *writer, const struct copy_place *place,
                        struct apart *writing, struct error *err)
{
    *writing = (struct apart){.channel = -1};
    writer->ends[0] = writer->ends[1] = -1;
    /* Loaded here: other ids may not be allowed to. */
    if (!archive_library_load(err))
        return -1;
    if (pipe2(writer->ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    int result = apart_start(writing, place->user_namespace, write_into_pipe, writer, err);
    close(writer->ends[1]);
    return result;
}

static int pass_to_taker(int fd, archive_take *take, void *context, struct error *err)
{
    char block[1 << 16];
    for (;;) {
        ssize_t count = read(fd, block, sizeof block);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? error_set(err, errno, "can't read the archive") : 0;
        if (take(context, block, (size_t)count, err) < 0)
            return -1;
    }
}

static int write_apart(struct copy_writer *writer, const struct copy_place *place,
                       archive_take *take, void *context, struct error *err)
{
    struct apart writing;
    struct error why = {0};
    int result = start_writer(writer, place, &writing, err);
    scope_close int from = writer->ends[0];
    if (result == 0)
        result = pass_to_taker(from, take, context, err);
    close(scope_take_fd(&from));
    if (apart_finish(&writing, &why) < 0 && result == 0) {
        *err = why;
        return -1;
    }
    return result;
}

int copy_to_archive(const struct copy_place *place, const struct copy_options *options,
                    archive_take *take, void *context, struct error *err)
{
    scope_located struct located source = NOT_LOCATED;
    if (locate_source(&source, place, options->follow_link, err) < 0)
        return -1;
    scope_free char *name = source.contents ? memory_copy_string("") : written_name(place);
    struct copy_writer writer = {.source = &source, .name = name, .warnings = options->warnings};
    return place->user_namespace >= 0
               ? write_apart(&writer, place, take, context, err)
               : write_source(&source, name, options->warnings, take, context, err);
}

/* ---- in ---- */

static int check_writable(const struct copy_place *place, int directory,
                          const struct copy_options *options, struct error *err)
{
    struct statx ours, roots;
    if (!options->root_is_read_only)
        return 0;
    if (statx(directory, "", AT_EMPTY_PATH, STATX_MNT_ID, &ours) < 0 ||
        statx(place->root, "", AT_EMPTY_PATH, STATX_MNT_ID, &roots) < 0)
        return error_set(err, errno, "can't look at %s", place->name);
    if (ours.stx_mnt_id == roots.stx_mnt_id)
        return error_set(err, EROFS, "can't copy to %s", place->name);
    return 0;
}

struct extraction {
    int fd, directory;
    const struct copy_options *options;
};

static int64_t extract_here(void *context, struct error *err)
{
    const struct extraction *extraction = context;
    const struct copy_options *options = extraction->options;
    const struct archive_extract_options how = {
        .owners = options->owners, .keep_types = true, .warnings = options->warnings};
    return archive_extract_file(extraction->directory, extraction->fd, &how, NULL, err);
}

static int extract(int fd, const struct copy_place *place, int directory,
                   const struct copy_options *options, struct error *err)
{
    struct extraction extraction = {fd, directory, options};
    if (!archive_library_load(err))
        return -1;
    return (int)(place->user_namespace >= 0
                     ? apart_do(place->user_namespace, extract_here, &extraction, err)
                     : extract_here(&extraction, err));
}

int copy_from_archive(int fd, const struct copy_place *place, const struct copy_options *options,
                      struct error *err)
{
    scope_located struct located destination = NOT_LOCATED;
    if (locate(&destination, place, true, err) < 0)
        return -1;
    if (!is_directory(&destination))
        return error_set(err, destination.self < 0 ? ENOENT : ENOTDIR,
                         "can't extract an archive into %s", place->name);
    if (check_writable(place, destination.self, options, err) < 0)
        return -1;
    return extract(fd, place, destination.self, options, err);
}

/* docker's rules: what the source is to be called, and in which directory (borrowed). */
static char *choose_name(const struct located *source, const struct copy_place *source_place,
                         const struct located *destination, const struct copy_place *place,
                         int *directory, struct error *err)
{
    *directory = is_directory(destination) ? destination->self : destination->directory;
    if (is_directory(destination))
        return source->contents ? memory_copy_string("") : written_name(source_place);
    if (destination->self >= 0 && is_directory(source))
        error_set(err, ENOTDIR, "can't copy the directory %s to %s", source_place->name,
                  place->name);
    else if (destination->has_slash && !is_directory(source))
        error_set(err, destination->self < 0 ? ENOENT : ENOTDIR, "can't copy into the directory %s",
                  place->name);
    else
        return memory_copy_string(destination->name);
    return NULL;
}

static int pass_through(struct copy_writer *writer, const struct copy_place *source,
                        const struct copy_place *place, int directory,
                        const struct copy_options *options, int64_t *bytes, struct error *err)
{
    struct apart writing;
    struct error why = {0};
    int result = start_writer(writer, source, &writing, err);
    scope_close int from = writer->ends[0];
    if (result == 0)
        result = extract(from, place, directory, options, err);
    close(scope_take_fd(&from));
    int64_t written = apart_finish(&writing, &why);
    /* Who failed first: a broken-off archive makes the extraction fail, a failed extraction breaks
     * the pipe. */
    if (written < 0 && why.text[0] && why.code != EPIPE) {
        *err = why;
        return -1;
    }
    if (bytes)
        *bytes = written;
    return result;
}

int copy_tree(const struct copy_place *source_place, const struct copy_place *place,
              const struct copy_options *options, int64_t *bytes, struct error *err)
{
    int directory;
    scope_located struct located source = NOT_LOCATED, destination = NOT_LOCATED;
    if (locate_source(&source, source_place, options->follow_link, err) < 0 ||
        locate(&destination, place, true, err) < 0)
        return -1;
    scope_free char *name =
        choose_name(&source, source_place, &destination, place, &directory, err);
    if (!name || check_writable(place, directory, options, err) < 0)
        return -1;
    struct copy_writer writer = {.source = &source, .name = name, .warnings = options->warnings};
    return pass_through(&writer, source_place, place, directory, options, bytes, err);
}
