#include "image/compose.h"

#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/unpack.h"

#define OUTPUT_SIZE (64u << 10)
/* Layers that a container's changes are made of are small, and their author waits. */
#define GZIP_LEVEL 3

static const struct {
    const char *docker, *oci;
} types[] = {
    {IMAGE_TYPE_DOCKER_LAYER ".gzip", IMAGE_TYPE_OCI_LAYER "+gzip"},
    {IMAGE_TYPE_DOCKER_LAYER ".zstd", IMAGE_TYPE_OCI_LAYER "+zstd"},
    {IMAGE_TYPE_DOCKER_LAYER, IMAGE_TYPE_OCI_LAYER},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
     "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
};

const char *compose_oci_type(const char *media_type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(media_type, types[i].docker) == 0)
            return types[i].oci;
    return media_type;
}

const char *compose_layer_type(enum image_compression compression)
{
    return compression == IMAGE_COMPRESSION_GZIP   ? IMAGE_TYPE_OCI_LAYER "+gzip"
           : compression == IMAGE_COMPRESSION_ZSTD ? IMAGE_TYPE_OCI_LAYER "+zstd"
                                                   : IMAGE_TYPE_OCI_LAYER;
}

json_t *compose_layer(const char *media_type, const char *digest, int64_t size)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size",
                     (json_int_t)size);
}

struct compose_tar {
    struct image_ingest *ingest;
    struct image_unpack *unpack;
    int64_t size; /* as stored */
    bool compress;
    z_stream gzip;
    unsigned char output[OUTPUT_SIZE];
};

int compose_tar_begin(struct image_store *store, struct image_lease *lease, bool compress,
                      const struct image_limits *limits, struct compose_tar **result,
                      struct error *err)
{
    struct compose_tar *tar = memory_allocate(1, sizeof *tar);
    *result = NULL;
    if (unpack_begin_unknown(store, lease, limits, &tar->unpack, err) < 0 ||
        image_ingest_begin(store, lease, NULL, -1, tar->unpack, &tar->ingest, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    /* 16: a gzip header, without a time in it. */
    if (compress &&
        deflateInit2(&tar->gzip, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        compose_tar_abort(tar);
        return error_set(err, 0, "can't begin to compress");
    }
    tar->compress = compress;
    *result = tar;
    return 0;
}

/* The unpacking may have failed already, with the better reason. */
static int write_out(struct compose_tar *tar, const void *bytes, size_t count, struct error *err)
{
    tar->size += (int64_t)count;
    if (image_unpack_status(tar->unpack, err) < 0)
        return -1;
    return image_ingest_write(tar->ingest, bytes, count, err);
}

static int compress_some(struct compose_tar *tar, const void *bytes, size_t count, int flush,
                         struct error *err)
{
    tar->gzip.next_in = (unsigned char *)bytes;
    tar->gzip.avail_in = (unsigned int)count;
    do {
        tar->gzip.next_out = tar->output;
        tar->gzip.avail_out = sizeof tar->output;
        deflate(&tar->gzip, flush);
        size_t length = sizeof tar->output - tar->gzip.avail_out;
        if (length && write_out(tar, tar->output, length, err) < 0)
            return -1;
    } while (tar->gzip.avail_out == 0);
    return 0;
}

int compose_tar_take(void *context, const void *bytes, size_t count, struct error *err)
{
    struct compose_tar *tar = context;
    return tar->compress ? compress_some(tar, bytes, count, Z_NO_FLUSH, err)
                         : write_out(tar, bytes, count, err);
}

static void free_tar(struct compose_tar *tar)
{
    if (tar->compress)
        deflateEnd(&tar->gzip);
    free(tar);
}

int compose_tar_commit(struct compose_tar *tar, const char (*parents)[IMAGE_DIGEST_SIZE],
                       size_t parent_count, char diff_id[IMAGE_DIGEST_SIZE], json_t **layer,
                       struct error *err)
{
    char digest[IMAGE_DIGEST_SIZE];
    enum image_compression compression;
    if (tar->compress && compress_some(tar, NULL, 0, Z_FINISH, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    struct image_ingest *ingest = tar->ingest;
    struct image_unpack *unpack = tar->unpack;
    tar->ingest = NULL;
    if (image_ingest_commit(ingest, digest, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    int status = unpack_commit_unknown(unpack, parents, parent_count, diff_id, &compression, err);
    if (status == 0)
        *layer = compose_layer(compose_layer_type(compression), digest, tar->size);
    free_tar(tar);
    return status;
}

void compose_tar_abort(struct compose_tar *tar)
{
    if (!tar)
        return;
    image_ingest_abort(tar->ingest, false);
    image_unpack_abort(tar->unpack);
    free_tar(tar);
}

int compose_image(struct image_store *store, struct image_lease *lease, const json_t *config,
                  const json_t *layers, const struct reference *reference, struct image *image,
                  struct error *err)
{
    char digest[IMAGE_DIGEST_SIZE];
    scope_free char *config_text = json_dumps(config, JSON_COMPACT);
    if (!config_text)
        return error_set(err, 0,
                         "the image's configuration can't be written (is a text not "
                         "UTF-8?)");
    if (image_blob_add(store, lease, config_text, strlen(config_text), NULL, digest, err) < 0)
        return -1;
    json_t *manifest =
        json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType",
                  IMAGE_TYPE_OCI_MANIFEST, "config", "mediaType", IMAGE_TYPE_OCI_CONFIG, "digest",
                  digest, "size", (json_int_t)strlen(config_text), "layers", (json_t *)layers);
    scope_free char *text = json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    return image_add_manifest(store, lease, text, strlen(text), IMAGE_TYPE_OCI_MANIFEST, reference,
                              NULL, image, err);
}
