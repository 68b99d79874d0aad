/* Reading an archive of images, once and from its beginning to its end: it may come through a pipe.
 * Large files go into the store as they come, small ones into memory. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/archive_library.h"
#include "image/decompress.h"
#include "image/extract.h"
#include "image/load.h"

#define DOCUMENT_MAX (8u << 20)   /* one in memory */
#define DOCUMENTS_MAX (64u << 20) /* all of them */
#define FILES_MAX 20000           /* entries of an archive: 128 layers with 4 files each is usual */
#define PIECE_SIZE (256u << 10)
#define BLOB_PREFIX "blobs/sha256/"

struct reader {
    struct load *load;
    const struct archive_library *library;
    struct archive *archive;
    struct decompressor *decompressor;
    int fd;
    char *piece;
    size_t documents; /* bytes */
    struct error *err;
};

static ssize_t read_fd(void *context, void *bytes, size_t count, struct error *err)
{
    const struct reader *reader = context;
    ssize_t got;
    do
        got = read(reader->fd, bytes, count);
    while (got < 0 && errno == EINTR);
    return got < 0 ? error_set(err, errno, "can't read the archive") : got;
}

static la_ssize_t next_piece(struct archive *archive, void *context, const void **bytes)
{
    struct reader *reader = context;
    *bytes = reader->piece;
    ssize_t count = decompressor_read(reader->decompressor, reader->piece, PIECE_SIZE, reader->err);
    if (count < 0)
        reader->library->archive_set_error(archive, EIO, "%s", reader->err->text);
    return count;
}

static int fail_reading(struct reader *reader)
{
    if (reader->err->text[0])
        return -1;
    const char *reason = reader->library->archive_error_string(reader->archive);
    return error_set(reader->err, 0, "the archive is damaged: %s",
                     reason ? reason : "unknown reason");
}

/* Gives the entry's bytes to take. */
static int read_entry(struct reader *reader,
                      int (*take)(void *context, const void *bytes, size_t count,
                                  struct error *err),
                      void *context)
{
    const void *bytes;
    size_t count;
    la_int64_t offset, position = 0;
    for (;;) {
        int result =
            reader->library->archive_read_data_block(reader->archive, &bytes, &count, &offset);
        if (result == ARCHIVE_EOF)
            return 0;
        if (result < ARCHIVE_WARN)
            return fail_reading(reader);
        if (offset > position)
            return error_set(reader->err, 0, "the archive has files with holes");
        if (take(context, bytes, count, reader->err) < 0)
            return -1;
        position = offset + (la_int64_t)count;
    }
}

struct blob_sink {
    struct image_ingest *ingest;
    const struct image_progress *progress;
    char item[13];
    int64_t done, total;
};

static int take_blob(void *context, const void *bytes, size_t count, struct error *err)
{
    struct blob_sink *sink = context;
    sink->done += (int64_t)count;
    image_progress_update(sink->progress, sink->item, IMAGE_PROGRESS_LOADING, sink->done,
                          sink->total);
    return sink->ingest ? image_ingest_write(sink->ingest, bytes, count, err) : 0;
}

static void note_blob(struct reader *reader, const char *path, const char *digest, int64_t size)
{
    json_object_set_new(reader->load->blobs, path,
                        json_pack("{s:s, s:I}", "digest", digest, "size", (json_int_t)size));
}

/* A file that goes into the store; expected as the path says, or NULL. */
static int store_blob(struct reader *reader, const char *path, const char *expected, int64_t size)
{
    struct load *load = reader->load;
    char digest[IMAGE_DIGEST_SIZE];
    struct blob_sink sink = {.progress = load->options->progress, .total = size};
    if (expected) {
        int have = image_blob_have(load->store, load->lease, expected, size, reader->err);
        if (have < 0)
            return -1;
        if (have) {
            note_blob(reader, path, expected, size);
            return 0;
        }
    }
    const char *name = expected ? digest_hex(expected) : path;
    snprintf(sink.item, sizeof sink.item, "%.12s", name);
    int begun = image_ingest_begin(load->store, load->lease, expected, size, NULL, &sink.ingest,
                                   reader->err);
    if (begun != 0) {
        if (begun == 1)
            note_blob(reader, path, expected, size);
        return begun < 0 ? -1 : 0;
    }
    if (image_ingest_restart(sink.ingest, reader->err) < 0 ||
        read_entry(reader, take_blob, &sink) < 0) {
        image_ingest_abort(sink.ingest, false);
        return -1;
    }
    if (image_ingest_commit(sink.ingest, digest, reader->err) < 0)
        return error_wrap(reader->err, "%s", path);
    note_blob(reader, path, digest, size);
    return 0;
}

struct memory_sink {
    char *bytes;
    size_t used, room;
};

static int take_memory(void *context, const void *bytes, size_t count, struct error *err)
{
    struct memory_sink *sink = context;
    if (count > sink->room - sink->used)
        return error_set(err, 0, "the archive has a file longer than its header says");
    memcpy(sink->bytes + sink->used, bytes, count);
    sink->used += count;
    return 0;
}

static int keep_document(struct reader *reader, const char *path, int64_t size)
{
    struct memory_sink sink = {.room = (size_t)size};
    reader->documents += (size_t)size;
    if (reader->documents > DOCUMENTS_MAX)
        return error_set(reader->err, 0, "the archive has more than %u MiB of small files",
                         DOCUMENTS_MAX >> 20);
    sink.bytes = memory_allocate(1, (size_t)size + 1);
    int status = read_entry(reader, take_memory, &sink);
    json_t *text = status < 0 ? NULL : json_stringn_nocheck(sink.bytes, sink.used);
    if (text)
        json_object_set_new(reader->load->documents, path, text);
    free(sink.bytes);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int keep_link(struct reader *reader, const char *path, const char *target)
{
    char clean[PATH_MAX];
    const char *slash = *target == '/' ? NULL : strrchr(path, '/');
    scope_free char *whole =
        memory_format("%.*s/%s", slash ? (int)(slash - path) : 0, path, target);
    if (extract_clean_path(whole, clean, reader->err) < 0)
        return -1;
    json_object_set_new_nocheck(reader->load->links, path, json_string_nocheck(clean));
    return 0;
}

static int load_entry(struct reader *reader, struct archive_entry *entry)
{
    const struct archive_library *library = reader->library;
    const char *given = library->archive_entry_pathname(entry);
    const char *hard = library->archive_entry_hardlink(entry);
    mode_t type = library->archive_entry_filetype(entry);
    int64_t size = library->archive_entry_size(entry);
    char path[PATH_MAX], expected[IMAGE_DIGEST_SIZE];
    if (!given || extract_clean_path(given, path, reader->err) < 0)
        return given ? -1 : error_set(reader->err, 0, "the archive has an entry without a name");
    if (hard) {
        scope_free char *absolute = memory_format("/%s", hard);
        return keep_link(reader, path, absolute);
    }
    if (type == AE_IFLNK && library->archive_entry_symlink(entry))
        return keep_link(reader, path, library->archive_entry_symlink(entry));
    if (type != AE_IFREG)
        return 0;
    if (strncmp(path, BLOB_PREFIX, strlen(BLOB_PREFIX)) == 0) {
        snprintf(expected, sizeof expected, "sha256:%.64s", path + strlen(BLOB_PREFIX));
        if (reference_is_digest(expected) && strlen(path) == strlen(BLOB_PREFIX) + 64)
            return store_blob(reader, path, expected, size);
    }
    if (size <= DOCUMENT_MAX && !ends_with(path, ".tar"))
        return keep_document(reader, path, size);
    return store_blob(reader, path, NULL, size);
}

static int read_archive(struct reader *reader)
{
    const struct archive_library *library = reader->library;
    library->archive_read_support_format_tar(reader->archive);
    library->archive_read_support_format_empty(reader->archive);
    if (library->archive_read_open(reader->archive, reader, NULL, next_piece, NULL) != ARCHIVE_OK)
        return fail_reading(reader);
    for (int files = 0;; files++) {
        struct archive_entry *entry;
        int result = library->archive_read_next_header(reader->archive, &entry);
        if (result == ARCHIVE_EOF)
            return 0;
        if (result < ARCHIVE_WARN)
            return fail_reading(reader);
        if (files >= FILES_MAX)
            return error_set(reader->err, 0, "the archive has more than %d files", FILES_MAX);
        if (load_entry(reader, entry) < 0)
            return -1;
    }
}

int load_read(struct load *load, int fd, struct error *err)
{
    struct reader reader = {.load = load, .library = archive_library_load(err), .fd = fd};
    if (!reader.library)
        return -1;
    reader.err = err;
    err->text[0] = '\0';
    reader.piece = memory_allocate(1, PIECE_SIZE);
    reader.decompressor = decompressor_new(read_fd, &reader, &load->options->limits);
    reader.archive = reader.library->archive_read_new();
    int status = read_archive(&reader);
    reader.library->archive_read_free(reader.archive);
    decompressor_free(reader.decompressor);
    free(reader.piece);
    return status;
}

/* Through at most a few links. */
static const char *follow(struct load *load, const char *path)
{
    for (int i = 0; i < 8; i++) {
        const char *target = json_string_value(json_object_get(load->links, path));
        if (!target)
            break;
        path = target;
    }
    return path;
}

const json_t *load_blob(struct load *load, const char *path)
{
    return json_object_get(load->blobs, follow(load, path));
}

char *load_document(struct load *load, const char *path, size_t *length, struct error *err)
{
    const json_t *text = json_object_get(load->documents, follow(load, path));
    if (text) {
        *length = json_string_length(text);
        char *copy = memory_allocate(1, *length + 1);
        return memcpy(copy, json_string_value(text), *length);
    }
    const json_t *blob = load_blob(load, path);
    if (!blob) {
        error_set(err, 0, "the archive has no file %s", path);
        return NULL;
    }
    return image_blob_read(load->store, json_string_value(json_object_get(blob, "digest")),
                           IMAGE_CONFIG_LIMIT, length, err);
}
