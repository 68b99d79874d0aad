/* Archives of images: an OCI image layout, which for docker's sake has a manifest.json too. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/archive_library.h"
#include "image/store.h"

#define PIECE_SIZE (256u << 10)
#define CONTAINERD_NAME "io.containerd.image.name"

struct saver {
    struct image_store *store;
    struct image_lease *lease; /* keeps what is being written */
    const struct archive_library *library;
    struct archive *archive;
    struct archive_entry *entry;
    struct store_set written; /* blobs */
    json_t *index;            /* "manifests" of index.json */
    json_t *docker;           /* manifest.json */
    int fd;
    char *piece;
    struct error *err;
};

static int fail(struct saver *saver, const char *name)
{
    if (saver->err->text[0])
        return -1;
    const char *reason = saver->library->archive_error_string(saver->archive);
    return error_set(saver->err, 0, "can't write %s into the archive: %s", name,
                     reason ? reason : "unknown reason");
}

static la_ssize_t write_out(struct archive *archive, void *context, const void *bytes, size_t count)
{
    struct saver *saver = context;
    if (archive_take_file(&saver->fd, bytes, count, saver->err) == 0)
        return (la_ssize_t)count;
    saver->library->archive_set_error(archive, EIO, "%s", saver->err->text);
    return -1;
}

static int write_header(struct saver *saver, const char *name, mode_t type, int64_t size)
{
    const struct archive_library *library = saver->library;
    library->archive_entry_clear(saver->entry);
    library->archive_entry_set_pathname(saver->entry, name);
    library->archive_entry_set_filetype(saver->entry, type);
    library->archive_entry_set_perm(saver->entry, type == AE_IFDIR ? 0755 : 0644);
    library->archive_entry_set_mtime(saver->entry, 0, 0);
    library->archive_entry_set_size(saver->entry, size);
    return library->archive_write_header(saver->archive, saver->entry) < ARCHIVE_WARN
               ? fail(saver, name)
               : 0;
}

static int write_document(struct saver *saver, const char *name, const json_t *document)
{
    scope_free char *text = json_dumps(document, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0;
    if (!text)
        return error_set(saver->err, 0, "can't write %s", name);
    if (write_header(saver, name, AE_IFREG, (int64_t)length) < 0)
        return -1;
    return saver->library->archive_write_data(saver->archive, text, length) < 0 ? fail(saver, name)
                                                                                : 0;
}

static int write_blob(struct saver *saver, const char *digest)
{
    int64_t size;
    if (store_set_has(&saver->written, digest))
        return 0;
    store_set_add(&saver->written, digest);
    /* On a full disk it can't be held, but be read. */
    if (image_blob_have(saver->store, saver->lease, digest, -1, saver->err) < 0 &&
        saver->err->code != ENOSPC && saver->err->code != EDQUOT)
        return -1;
    saver->err->text[0] = '\0';
    scope_close int fd = image_blob_open(saver->store, digest, &size, saver->err);
    struct store_path path = store_blob_path(digest);
    if (fd < 0 || write_header(saver, path.text, AE_IFREG, size) < 0)
        return -1;
    for (int64_t left = size; left > 0;) {
        ssize_t count = read(fd, saver->piece, PIECE_SIZE);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set(saver->err, count ? errno : EIO, "can't read blob %s", digest);
        if (saver->library->archive_write_data(saver->archive, saver->piece, (size_t)count) < 0)
            return fail(saver, path.text);
        left -= count;
    }
    return 0;
}

/* The name of an image that was asked for by it; "" where it was asked for by its id. */
static void find_asked_name(const struct image *image, const char *asked,
                            char name[REFERENCE_TEXT_SIZE])
{
    struct reference reference;
    *name = '\0';
    if (reference_parse(asked, &reference, NULL) < 0 || *reference.digest)
        return;
    reference_default_tag(&reference);
    char text[REFERENCE_TEXT_SIZE];
    reference_format(&reference, text);
    for (size_t i = 0; i < image->name_count; i++)
        if (strcmp(image->names[i], text) == 0)
            strcpy(name, text);
}

static json_t *find_docker_element(json_t *docker, const char *config)
{
    json_t *element;
    size_t i;
    json_array_foreach(docker, i,
                       element) if (strcmp(json_string_value(json_object_get(element, "Config")),
                                           config) == 0) return element;
    return NULL;
}

static void describe_for_docker(struct saver *saver, const struct image *image, const char *name)
{
    struct store_path config = store_blob_path(image->id);
    json_t *element = find_docker_element(saver->docker, config.text);
    if (!element) {
        json_t *layers = json_array();
        for (size_t i = 0; i < image->layer_count; i++)
            json_array_append_new(layers,
                                  json_string(store_blob_path(image->layers[i].digest).text));
        element =
            json_pack("{s:s, s:[], s:o}", "Config", config.text, "RepoTags", "Layers", layers);
        json_array_append_new(saver->docker, element);
    }
    struct reference reference;
    char text[REFERENCE_TEXT_SIZE];
    if (*name && reference_parse(name, &reference, NULL) == 0)
        json_array_append_new(json_object_get(element, "RepoTags"),
                              json_string(reference_format_familiar(&reference, text)));
}

static void describe_for_oci(struct saver *saver, const struct image *image, const char *name)
{
    scope_free char *manifest =
        image_blob_read(saver->store, image->manifest_digest, IMAGE_MANIFEST_LIMIT, NULL, NULL);
    json_t *descriptor = json_pack(
        "{s:s, s:s, s:I, s:{s:s, s:s}}", "mediaType", image->media_type, "digest",
        image->manifest_digest, "size", (json_int_t)(manifest ? strlen(manifest) : 0), "platform",
        "architecture", image->platform.architecture, "os", image->platform.os);
    if (*name)
        json_object_set_new(descriptor, "annotations",
                            json_pack("{s:s, s:s}", STORE_REF_NAME, name, CONTAINERD_NAME, name));
    json_array_append_new(saver->index, descriptor);
}

static int save_image(struct saver *saver, const char *asked)
{
    scope_image struct image image = {0};
    char name[REFERENCE_TEXT_SIZE];
    int found = image_find(saver->store, asked, &image, saver->err);
    if (found <= 0)
        return found < 0 ? -1
                         : error_set(saver->err, 0, "no such image: %s (see 'hull images')", asked);
    if (write_blob(saver, image.manifest_digest) < 0 || write_blob(saver, image.id) < 0)
        return -1;
    for (size_t i = 0; i < image.layer_count; i++)
        if (write_blob(saver, image.layers[i].digest) < 0)
            return -1;
    find_asked_name(&image, asked, name);
    describe_for_docker(saver, &image, name);
    describe_for_oci(saver, &image, name);
    return 0;
}

/* A repository without a tag means all its images, as for docker; else it is one. */
static int save_asked(struct saver *saver, const char *asked)
{
    struct reference reference;
    char repository[REFERENCE_TEXT_SIZE];
    bool valid = reference_parse(asked, &reference, NULL) == 0;
    if (!valid || *reference.tag || *reference.digest)
        return save_image(saver, asked);
    reference_format_repository(&reference, repository);
    size_t length = strlen(repository), i, found = 0;
    json_t *index = store_index_read(saver->store, saver->err), *element;
    int status = index ? 0 : -1;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        const char *name = store_index_name(element);
        if (status < 0 || strncmp(name, repository, length) != 0 || name[length] != ':')
            continue;
        found++;
        status = save_image(saver, name);
    }
    json_decref(index);
    return status < 0 || found > 0 ? status : save_image(saver, asked);
}

static int save_all(struct saver *saver, const char *const *names, size_t count,
                    enum image_archive_format format)
{
    static const char *const directories[] = {"blobs/", "blobs/sha256/"};
    const struct archive_library *library = saver->library;
    library->archive_write_set_format_pax(saver->archive);
    library->archive_write_set_bytes_per_block(saver->archive, PIECE_SIZE);
    library->archive_write_set_bytes_in_last_block(saver->archive, 1);
    if (library->archive_write_open(saver->archive, saver, NULL, write_out, NULL) != ARCHIVE_OK)
        return fail(saver, "its beginning");
    for (size_t i = 0; i < 2; i++)
        if (write_header(saver, directories[i], AE_IFDIR, 0) < 0)
            return -1;
    for (size_t i = 0; i < count; i++)
        if (save_asked(saver, names[i]) < 0)
            return -1;
    json_t *layout = json_pack("{s:s}", "imageLayoutVersion", "1.0.0");
    json_t *index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType",
                              IMAGE_TYPE_OCI_INDEX, "manifests", saver->index);
    int status = write_document(saver, "index.json", index);
    if (status == 0 && format == IMAGE_ARCHIVE_DOCKER)
        status = write_document(saver, "manifest.json", saver->docker);
    if (status == 0)
        status = write_document(saver, "oci-layout", layout);
    json_decref(layout);
    json_decref(index);
    if (status == 0 && library->archive_write_close(saver->archive) < ARCHIVE_WARN)
        status = fail(saver, "its end");
    return status;
}

int image_save(struct image_store *store, const char *const *names, size_t count,
               enum image_archive_format format, int fd, struct error *err)
{
    struct error unheard = {0};
    struct saver saver = {.store = store,
                          .library = archive_library_load(err),
                          .fd = fd,
                          .err = err ? err : &unheard};
    if (!saver.library)
        return -1;
    scope_image_lease struct image_lease *lease = NULL;
    if (image_lease_begin(store, &lease, err) < 0)
        return -1;
    saver.lease = lease;
    saver.err->text[0] = '\0';
    saver.index = json_array();
    saver.docker = json_array();
    saver.piece = memory_allocate(1, PIECE_SIZE);
    saver.archive = saver.library->archive_write_new();
    saver.entry = saver.library->archive_entry_new();
    int status = save_all(&saver, names, count, format);
    if (status < 0)
        saver.library->archive_write_fail(saver.archive);
    saver.library->archive_entry_free(saver.entry);
    saver.library->archive_write_free(saver.archive);
    json_decref(saver.written.members);
    json_decref(saver.index);
    json_decref(saver.docker);
    free(saver.piece);
    return status;
}
