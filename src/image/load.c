/* Images of an archive: docker's, which manifest.json describes (of docker save before and since
 * version 25, podman save, skopeo), or an OCI image layout's. */
#include "image/load.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/compose.h"
#include "image/members.h"
#include "image/referrers.h"

#define IMAGES_MAX 1000
#define CONTAINERD_NAME "io.containerd.image.name"

/* Tells of an image that is in the store, under the names given (canonical). */
static int name_image(struct load *load, struct image *image, json_t *names, struct error *err)
{
    const struct image_load_options *options = load->options;
    json_t *name;
    size_t i;
    load->loaded++;
    if (*image->index_digest && image_note_index(load->store, image, image->index_digest, err) < 0)
        return -1;
    store_set_add(&load->used, image->manifest_digest);
    store_set_add(&load->used, image->id);
    for (i = 0; i < image->layer_count; i++)
        store_set_add(&load->used, image->layers[i].digest);
    json_array_foreach(names, i, name)
    {
        struct reference reference;
        char text[REFERENCE_TEXT_SIZE];
        if (reference_parse(json_string_value(name), &reference, err) < 0)
            return -1;
        *reference.digest = '\0';
        reference_default_tag(&reference);
        if (image_tag(load->store, image, &reference, err) < 0)
            return -1;
        if (options->loaded)
            options->loaded(image, reference_format_familiar(&reference, text), options->context);
    }
    if (json_array_size(names) == 0 && options->loaded)
        options->loaded(image, NULL, options->context);
    return 0;
}

/* Unpacks before the image is entered, so that what can't be unpacked isn't loaded. */
static int unpack(struct load *load, const void *manifest, size_t length, const void *config,
                  size_t config_length, struct error *err)
{
    scope_image struct image image = {0};
    if (store_image_fill(load->store, manifest, length, config, config_length, &image, err) < 0)
        return -1;
    return store_unpack_layers(load->store, load->lease, &image, load->options->progress, err);
}

/* ---- docker's archives ---- */

static enum image_compression see_compression(struct load *load, const char *digest)
{
    unsigned char magic[4] = {0};
    scope_close int fd = image_blob_open(load->store, digest, NULL, NULL);
    if (fd < 0 || pread(fd, magic, sizeof magic, 0) != (ssize_t)sizeof magic)
        return IMAGE_COMPRESSION_NONE;
    return magic[0] == 0x1f && magic[1] == 0x8b        ? IMAGE_COMPRESSION_GZIP
           : memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? IMAGE_COMPRESSION_ZSTD
                                                       : IMAGE_COMPRESSION_NONE;
}

static json_t *find_layers(struct load *load, const json_t *paths, struct error *err)
{
    json_t *layers = json_array(), *path;
    size_t i;
    json_array_foreach(paths, i, path)
    {
        const char *text = json_string_value(path);
        const json_t *blob = text ? load_blob(load, text) : NULL;
        if (!blob) {
            error_set(err, 0, "the archive has no layer %s", text ? text : "without a name");
            json_decref(layers);
            return NULL;
        }
        const char *digest = json_string_value(json_object_get(blob, "digest"));
        json_array_append_new(
            layers, compose_layer(compose_layer_type(see_compression(load, digest)), digest,
                                  json_integer_value(json_object_get(blob, "size"))));
    }
    return layers;
}

/* One element of manifest.json: {"Config": path, "RepoTags": […], "Layers": [paths]}. */
static int load_docker_image(struct load *load, const json_t *element, struct error *err)
{
    const char *config_path = json_string_value(json_object_get(element, "Config"));
    char digest[IMAGE_DIGEST_SIZE];
    size_t length;
    scope_free char *config = config_path ? load_document(load, config_path, &length, err) : NULL;
    if (!config)
        return config_path
                   ? -1
                   : error_set(err, 0, "the archive's manifest.json names no configuration");
    json_t *layers = find_layers(load, json_object_get(element, "Layers"), err);
    if (!layers)
        return -1;
    digest_compute(config, length, digest);
    json_t *manifest =
        json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "mediaType",
                  IMAGE_TYPE_OCI_MANIFEST, "config", "mediaType", IMAGE_TYPE_OCI_CONFIG, "digest",
                  digest, "size", (json_int_t)length, "layers", layers);
    scope_free char *text = json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    scope_image struct image image = {0};
    if (unpack(load, text, strlen(text), config, length, err) < 0 ||
        image_blob_add(load->store, load->lease, config, length, NULL, NULL, err) < 0 ||
        image_add_manifest(load->store, load->lease, text, strlen(text), IMAGE_TYPE_OCI_MANIFEST,
                           NULL, NULL, &image, err) < 0)
        return -1;
    return name_image(load, &image, json_object_get(element, "RepoTags"), err);
}

static json_t *parse_document(struct load *load, const char *path, struct error *err)
{
    size_t length;
    json_error_t reason;
    scope_free char *text = load_document(load, path, &length, err);
    json_t *document = text ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason) : NULL;
    if (text && !document)
        error_set(err, 0, "the archive's %s isn't valid: %s", path, reason.text);
    return document;
}

static int load_docker(struct load *load, struct error *err)
{
    json_t *manifest = parse_document(load, "manifest.json", err), *element;
    size_t i;
    int status = manifest ? 0 : -1;
    if (manifest && (!json_is_array(manifest) || json_array_size(manifest) > IMAGES_MAX))
        status = error_set(err, 0, "the archive's manifest.json isn't valid: it isn't a list");
    if (status == 0)
        json_array_foreach(manifest, i, element) if (status == 0) status =
            load_docker_image(load, element, err);
    json_decref(manifest);
    return status;
}

/* ---- OCI's layouts ---- */

static const char *annotation(const json_t *descriptor, const char *key)
{
    return json_string_value(json_object_get(json_object_get(descriptor, "annotations"), key));
}

/* The name that an element of index.json gives its image; NULL: none, or only a tag. */
static const char *find_name(const json_t *descriptor)
{
    const char *name = annotation(descriptor, CONTAINERD_NAME);
    if (name)
        return name;
    name = annotation(descriptor, STORE_REF_NAME);
    return name && (strchr(name, '/') || strchr(name, ':')) ? name : NULL;
}

/* Signatures and the like may lie beside the images that they refer to; the store keeps images. */
static bool is_passed_over(struct load *load, const char *digest, const char *manifest,
                           size_t length)
{
    char text[REFERRER_TEXT_SIZE];
    json_auto_t *document = json_loadb(manifest, length, 0, NULL);
    if (!referrer_is_no_image(document, text))
        return false;
    store_warn(load->store, "%s is passed over: it is no image, but %s", digest, text);
    return true;
}

/* index: which the manifest was chosen from, or "". */
static int load_oci_manifest(struct load *load, const char *digest, const char *media_type,
                             const char *index, json_t *names, struct error *err)
{
    size_t length, config_length, count;
    struct image_descriptor config, *layers;
    scope_free char *manifest =
        image_blob_read(load->store, digest, IMAGE_MANIFEST_LIMIT, &length, err);
    if (manifest && is_passed_over(load, digest, manifest, length))
        return 0;
    if (!manifest || image_manifest_parse(manifest, length, &config, &layers, &count, err) < 0)
        return -1;
    image_descriptors_free(layers, count);
    scope_free char *config_text =
        image_blob_read(load->store, config.digest, IMAGE_CONFIG_LIMIT, &config_length, err);
    scope_image struct image image = {0};
    if (!config_text || unpack(load, manifest, length, config_text, config_length, err) < 0 ||
        image_add_manifest(load->store, load->lease, manifest, length, media_type, NULL, NULL,
                           &image, err) < 0)
        return -1;
    strcpy(image.index_digest, index);
    return name_image(load, &image, names, err);
}

/* What the archive has of an image for several platforms is kept, for push. */
static int hold_members(struct load *load, const char *index, struct error *err)
{
    scope_image_members struct image_members members = {0};
    if (image_members_read(load->store, index, &members, err) < 0)
        return -1;
    for (size_t i = 0; i < members.count; i++) {
        const struct image_member *member = &members.items[i];
        if (image_blob_have(load->store, load->lease, member->digest, -1, err) < 0)
            return -1;
        store_set_add(&load->used, member->digest);
        for (size_t j = 0; j < member->blob_count; j++) {
            if (image_blob_have(load->store, load->lease, member->blobs[j].digest, -1, err) < 0)
                return -1;
            store_set_add(&load->used, member->blobs[j].digest);
        }
    }
    return 0;
}

/* A descriptor of index.json, or of an index that it leads to. */
static int load_oci_descriptor(struct load *load, const json_t *descriptor, json_t *names,
                               const char *platforms, int depth, struct error *err)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
    if (!digest || !reference_is_digest(digest))
        return error_set(err, 0, "the archive's index has an element without a digest");
    if (!type || !image_type_is_index(type))
        return load_oci_manifest(load, digest, type, platforms, names, err);
    if (depth > 2)
        return error_set(err, 0, "the archive's indexes are nested too deep");
    if (depth == 0 && hold_members(load, digest, err) < 0)
        return -1;
    struct platform host;
    platform_host(&host);
    size_t length;
    json_error_t reason;
    scope_free char *text =
        image_blob_read(load->store, digest, IMAGE_MANIFEST_LIMIT, &length, err);
    json_t *index = text ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason) : NULL;
    if (!index)
        return text ? error_set(err, 0, "the archive's index isn't valid: %s", reason.text) : -1;
    json_t *chosen = platform_select(json_object_get(index, "manifests"), &host, err);
    int status = chosen ? load_oci_descriptor(load, chosen, names, *platforms ? platforms : digest,
                                              depth + 1, err)
                        : -1;
    json_decref(index);
    return status;
}

static int load_oci(struct load *load, const json_t *index, struct error *err)
{
    json_t *manifests = json_object_get(index, "manifests"), *descriptor;
    size_t i;
    if (!json_is_array(manifests) || json_array_size(manifests) > IMAGES_MAX)
        return error_set(err, 0, "the archive's index.json isn't valid: it has no manifests");
    json_array_foreach(manifests, i, descriptor)
    {
        const char *name = find_name(descriptor);
        json_t *names = name ? json_pack("[s]", name) : json_array();
        int status = load_oci_descriptor(load, descriptor, names, "", 0, err);
        json_decref(names);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* An archive may be both; index.json is closer to what was pushed, unless it has no names. */
static bool prefers_docker(const struct load *load, const json_t *index)
{
    json_t *descriptor;
    size_t i;
    if (!json_object_get(load->documents, "manifest.json"))
        return false;
    json_array_foreach(json_object_get(index, "manifests"), i,
                       descriptor) if (!find_name(descriptor)) return true;
    return false;
}

static int load_found(struct load *load, struct error *err)
{
    if (!json_object_get(load->documents, "index.json")) {
        if (json_object_get(load->documents, "manifest.json"))
            return load_docker(load, err);
        return error_set(err, 0,
                         "it is no archive of images: it has neither manifest.json nor "
                         "index.json (for a root file system use 'hull import')");
    }
    json_t *index = parse_document(load, "index.json", err);
    if (!index)
        return -1;
    int status = prefers_docker(load, index) ? load_docker(load, err) : load_oci(load, index, err);
    json_decref(index);
    if (status == 0 && load->loaded == 0)
        return error_set(err, 0, "the archive has no image in it");
    return status;
}

static bool has_unused_blobs(const struct load *load)
{
    const char *path;
    json_t *blob;
    json_object_foreach(
        load->blobs, path,
        blob) if (!store_set_has(&load->used,
                                 json_string_value(json_object_get(blob, "digest")))) return true;
    return false;
}

/* 1: it has more than its images need. */
static int load_archive(struct image_store *store, int fd, const struct image_load_options *options,
                        struct error *err)
{
    scope_image_lease struct image_lease *lease = NULL;
    struct error unheard = {0};
    if (image_lease_begin(store, &lease, err) < 0)
        return -1;
    struct load load = {.store = store,
                        .lease = lease,
                        .options = options,
                        .blobs = json_object(),
                        .documents = json_object(),
                        .links = json_object()};
    int status = load_read(&load, fd, err ? err : &unheard);
    if (status == 0)
        status = load_found(&load, err);
    if (status == 0 && has_unused_blobs(&load))
        status = 1;
    json_decref(load.used.members);
    json_decref(load.blobs);
    json_decref(load.documents);
    json_decref(load.links);
    return status;
}

int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct error *err)
{
    image_store_tidy(store, NULL);
    int status = load_archive(store, fd, options, err);
    if (status != 0)
        store_collect_rest(store);
    return status < 0 ? -1 : 0;
}
