#include "image/registry_push.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/compose.h"
#include "image/digest.h"
#include "image/members.h"
#include "image/registry_lanes.h"
#include "image/registry_manifest.h"
#include "image/registry_recompress.h"
#include "image/registry_referrers.h"
#include "image/registry_upload.h"
#include "image/store.h"

#define MOUNTS_MAX 8 /* candidates for each layer */

struct push {
    struct image_store *store;
    struct image_lease *lease;
    const struct registry_push_options *options;
    struct registry_session *session;
    struct registry_http *http;
    const struct reference *reference;
    const struct image *named;      /* what the reference means here */
    const struct image *image;      /* it, or what of its index is pushed */
    struct image_list all;          /* for where a layer may be mounted from */
    struct image_descriptor *blobs; /* the image's layers and, last, its configuration */
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void say(const struct registry_push_options *options,
                                                      const char *format, ...)
{
    va_list args;
    scope_free char *line = NULL;
    if (!options->say)
        return;
    va_start(args, format);
    int length = vasprintf(&line, format, args);
    va_end(args);
    if (length >= 0)
        options->say(options->context, line);
}

/* ---- Blobs ---- */

static bool has_layer(const struct image *image, const char *digest)
{
    for (size_t i = 0; i < image->layer_count; i++)
        if (strcmp(image->layers[i].digest, digest) == 0)
            return true;
    return false;
}

static bool is_listed(char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

/* Adds the repositories of the same registry that an image came from or went to. */
static void add_repositories(const struct push *push, const struct image *image, char **list,
                             size_t *count)
{
    for (size_t i = 0; i < image->digest_count && *count < MOUNTS_MAX; i++) {
        struct reference known;
        if (reference_parse(image->digests[i], &known, NULL) == 0 &&
            strcmp(known.domain, push->reference->domain) == 0 &&
            strcmp(known.path, push->reference->path) != 0 && !is_listed(list, *count, known.path))
            list[(*count)++] = memory_copy_string(known.path);
    }
}

static int push_blob(void *context, struct registry_http *http, size_t index, struct error *err)
{
    struct push *push = context;
    const struct image_descriptor *blob = &push->blobs[index];
    const struct image_progress *progress = push->options->progress;
    bool is_config = index + 1 == push->count;
    char *mounts[MOUNTS_MAX + 1] = {NULL}, item[13];
    size_t mount_count = 0;
    snprintf(item, sizeof item, "%.12s", digest_hex(blob->digest));
    if (blob->urls)
        return 0; /* it stays with its owner */
    for (size_t i = 0; i < push->all.count && !is_config; i++)
        if (has_layer(&push->all.images[i], blob->digest))
            add_repositories(push, &push->all.images[i], mounts, &mount_count);
    struct registry_upload upload = {
        .store = push->store,
        .session = push->session,
        .http = http,
        .size = blob->size,
        .mounts = (const char *const *)mounts,
        .progress = is_config ? NULL : progress,
        .item = item,
    };
    strcpy(upload.digest, blob->digest);
    int status = registry_upload(&upload, err);
    static const enum image_progress_phase ends[] = {
        [REGISTRY_UPLOAD_SENT] = IMAGE_PROGRESS_COMPLETE,
        [REGISTRY_UPLOAD_EXISTED] = IMAGE_PROGRESS_EXISTS,
        [REGISTRY_UPLOAD_MOUNTED] = IMAGE_PROGRESS_MOUNTED,
    };
    image_progress_update(upload.progress, item,
                          status < 0 ? IMAGE_PROGRESS_FAILED : ends[upload.result], 0, 0);
    for (size_t i = 0; i < mount_count; i++)
        free(mounts[i]);
    return status;
}

/* ---- The manifest ---- */

static json_t *describe(const struct image_descriptor *layer, const json_t *from)
{
    json_t *descriptor = json_deep_copy(from);
    json_object_set_new(descriptor, "mediaType", json_string(layer->media_type));
    json_object_set_new(descriptor, "digest", json_string(layer->digest));
    json_object_set_new(descriptor, "size", json_integer(layer->size));
    return descriptor;
}

/* The same image in OCI's form, with the layers as they are compressed now. */
static char *compose_manifest(const struct push *push)
{
    json_auto_t *manifest = json_deep_copy(push->image->manifest);
    json_t *config = json_object_get(manifest, "config"), *layers = json_array();
    const char *type = json_string_value(json_object_get(config, "mediaType"));
    if (type && strcmp(type, IMAGE_TYPE_DOCKER_CONFIG) == 0)
        json_object_set_new(config, "mediaType", json_string(IMAGE_TYPE_OCI_CONFIG));
    json_object_set_new(manifest, "mediaType", json_string(IMAGE_TYPE_OCI_MANIFEST));
    for (size_t i = 0; i + 1 < push->count; i++)
        json_array_append_new(
            layers,
            describe(&push->blobs[i], json_array_get(json_object_get(manifest, "layers"), i)));
    json_object_set_new(manifest, "layers", layers);
    return json_dumps(manifest, JSON_COMPACT);
}

static int make_manifest(const struct push *push, struct registry_manifest *manifest,
                         struct error *err)
{
    const struct image *image = push->image;
    if (push->options->compression == IMAGE_COMPRESSION_NONE) {
        manifest->bytes = image_blob_read(push->store, image->manifest_digest, IMAGE_MANIFEST_LIMIT,
                                          &manifest->length, err);
        snprintf(manifest->media_type, sizeof manifest->media_type, "%s",
                 *image->media_type ? image->media_type : IMAGE_TYPE_OCI_MANIFEST);
    } else {
        manifest->bytes = compose_manifest(push);
        manifest->length = manifest->bytes ? strlen(manifest->bytes) : 0;
        strcpy(manifest->media_type, IMAGE_TYPE_OCI_MANIFEST);
    }
    if (!manifest->bytes)
        return -1;
    digest_compute(manifest->bytes, manifest->length, manifest->digest);
    return 0;
}

/* Stores it at the registry, by a tag or by its digest. */
static int put_manifest(const struct push *push, const struct registry_manifest *manifest,
                        const char *reference, struct error *err)
{
    char subject[IMAGE_DIGEST_SIZE];
    bool knows_subject = false;
    if (registry_manifest_put(push->session, push->http, reference, manifest, &knows_subject, err) <
        0)
        return -1;
    if (!registry_subject(manifest, subject) || knows_subject)
        return 0;
    return registry_referrers_add(push->session, push->http, subject, manifest, err);
}

/* What the registry has under the tag now. of: an image of index.json, or NULL. */
static int note_pushed(const struct push *push, const struct registry_manifest *manifest,
                       const struct image *of, struct error *err)
{
    struct reference known = *push->reference;
    strcpy(known.digest, manifest->digest);
    if (of && image_note_digest(push->store, of, &known, err) < 0)
        return -1;
    say(push->options, "%s: digest: %s size: %zu", push->reference->tag, manifest->digest,
        manifest->length);
    return 0;
}

static int push_manifest(const struct push *push, struct error *err)
{
    scope_registry_manifest struct registry_manifest manifest = {0};
    if (make_manifest(push, &manifest, err) < 0 ||
        put_manifest(push, &manifest, push->reference->tag, err) < 0)
        return -1;
    bool is_named = strcmp(push->image->manifest_digest, push->named->manifest_digest) == 0;
    return note_pushed(push, &manifest, is_named ? push->named : NULL, err);
}

/* ---- One image ---- */

static void copy_blobs(struct push *push, const struct image_descriptor *config)
{
    const struct image *image = push->image;
    push->count = image->layer_count + 1;
    push->blobs = memory_allocate(push->count, sizeof *push->blobs);
    if (image->layer_count)
        memcpy(push->blobs, image->layers, image->layer_count * sizeof *push->blobs);
    push->blobs[image->layer_count] = *config; /* the URLs stay the image's */
}

/* Whatever happens to the image meanwhile, its blobs stay. */
static int hold_blobs(const struct push *push, struct error *err)
{
    for (size_t i = 0; i < push->count; i++) {
        const struct image_descriptor *blob = &push->blobs[i];
        int have = image_blob_have(push->store, push->lease, blob->digest, blob->size, err);
        if (have < 0)
            return -1;
        if (!have && !blob->urls)
            return error_set(err, 0, "blob %s isn't in the store (pull the image again)",
                             blob->digest);
    }
    return 0;
}

static int recompress_layers(struct push *push, struct error *err)
{
    if (push->options->compression == IMAGE_COMPRESSION_NONE)
        return 0;
    for (size_t i = 0; i + 1 < push->count; i++) {
        char item[13];
        snprintf(item, sizeof item, "%.12s", digest_hex(push->blobs[i].digest));
        if (!push->blobs[i].urls &&
            registry_recompress(push->store, push->lease, &push->blobs[i],
                                push->options->compression, push->options->progress, item, err) < 0)
            return -1;
    }
    return 0;
}

static int push_image(struct push *push, struct error *err)
{
    struct image_descriptor config, *layers;
    size_t count, length;
    scope_free char *bytes = image_blob_read(push->store, push->image->manifest_digest,
                                             IMAGE_MANIFEST_LIMIT, &length, err);
    if (!bytes || image_manifest_parse(bytes, length, &config, &layers, &count, err) < 0)
        return -1;
    image_descriptors_free(layers, count);
    copy_blobs(push, &config);
    int status = hold_blobs(push, err);
    if (status == 0)
        status = recompress_layers(push, err);
    if (status == 0)
        status = registry_lanes_run(push->session, push->count, push_blob, push, err);
    if (status == 0)
        status = push_manifest(push, err);
    free(push->blobs);
    push->blobs = NULL;
    return status;
}

/* ---- An image for several platforms ---- */

static int push_member(struct push *push, const struct image_member *member, struct error *err)
{
    scope_registry_manifest struct registry_manifest manifest = {0};
    bool is_last = strcmp(member->digest, push->named->index_digest) == 0;
    int have = image_blob_have(push->store, push->lease, member->digest, -1, err);
    if (have <= 0)
        return have < 0 ? -1
                        : error_set(err, 0, "manifest %s isn't in the store (load the image again)",
                                    member->digest);
    push->blobs = member->blobs;
    push->count = member->blob_count;
    int status = hold_blobs(push, err);
    if (status == 0 && push->count > 0)
        status = registry_lanes_run(push->session, push->count, push_blob, push, err);
    push->blobs = NULL;
    if (status < 0)
        return -1;
    manifest.bytes =
        image_blob_read(push->store, member->digest, IMAGE_MANIFEST_LIMIT, &manifest.length, err);
    if (!manifest.bytes)
        return -1;
    strcpy(manifest.media_type, member->media_type);
    strcpy(manifest.digest, member->digest);
    if (put_manifest(push, &manifest, is_last ? push->reference->tag : member->digest, err) < 0)
        return -1;
    return is_last ? note_pushed(push, &manifest, push->named, err) : 0;
}

/* Half of an image under its name would be worse than none. */
static int check_members(const struct image_members *members, struct error *err)
{
    char missing[400] = "", text[PLATFORM_TEXT_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct image_member *member = &members->items[i];
        size_t used = strlen(missing);
        if (member->is_here)
            continue;
        count++;
        snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "",
                 *member->platform.os ? platform_format(&member->platform, text) : member->digest);
    }
    return count == 0 ? 0
                      : error_set(err, 0,
                                  "of the image's index %zu of %zu manifests aren't here: %s (load "
                                  "all of it, or push one with --platform)",
                                  count, members->count - 1, missing);
}

static int push_platform(struct push *push, const struct image_members *members, struct error *err)
{
    scope_image struct image image = {0};
    char text[PLATFORM_TEXT_SIZE];
    const struct image_member *member = image_members_select(push->store, push->named->index_digest,
                                                             members, push->options->platform, err);
    if (!member)
        return -1;
    if (!member->is_here)
        return error_set(err, 0, "the image for %s isn't here (load it)",
                         platform_format(push->options->platform, text));
    if (store_image_read_manifest(push->store, member->digest, &image, err) < 0)
        return -1;
    strcpy(image.media_type, member->media_type);
    push->image = &image;
    return push_image(push, err);
}

static int push_index(struct push *push, struct error *err)
{
    scope_image_members struct image_members members = {0};
    if (image_members_read(push->store, push->named->index_digest, &members, err) < 0)
        return -1;
    if (push->options->platform)
        return push_platform(push, &members, err);
    if (push->options->compression != IMAGE_COMPRESSION_NONE)
        return error_set(err, 0,
                         "an image for several platforms is pushed as it is (give "
                         "--platform, or leave out --compression-format)");
    if (check_members(&members, err) < 0)
        return -1;
    for (size_t i = 0; i < members.count; i++)
        if (push_member(push, &members.items[i], err) < 0)
            return -1;
    return 0;
}

/* Of one platform only, as it was pulled or made. */
static int push_alone(struct push *push, struct error *err)
{
    const struct platform *wanted = push->options->platform;
    char text[PLATFORM_TEXT_SIZE], found[PLATFORM_TEXT_SIZE];
    if (wanted && platform_rank(wanted, &push->named->platform) == 0)
        return error_set(err, 0, "the image is for %s, not for %s",
                         platform_format(&push->named->platform, found),
                         platform_format(wanted, text));
    push->image = push->named;
    return push_image(push, err);
}

/* The image that the store has under the reference. */
static int push_reference(struct push *push, const struct reference *reference, struct error *err)
{
    scope_image struct image image = {0};
    char name[REFERENCE_TEXT_SIZE];
    int found = image_find(push->store, reference_format(reference, name), &image, err);
    if (found <= 0)
        return found < 0 ? -1
                         : error_set(err, 0, "no such image: %s (see 'hull images')",
                                     reference_format_familiar(reference, name));
    push->named = &image;
    push->reference = reference;
    int status = *image.index_digest ? push_index(push, err) : push_alone(push, err);
    return status < 0 ? error_wrap(err, "%s", reference_format(reference, name)) : 0;
}

/* All names of the repository, or the one. */
static int push_names(struct push *push, const struct reference *reference, struct error *err)
{
    if (!push->options->all_tags)
        return push_reference(push, reference, err);
    size_t pushed = 0;
    for (size_t i = 0; i < push->all.count; i++)
        for (size_t j = 0; j < push->all.images[i].name_count; j++) {
            struct reference named;
            if (reference_parse(push->all.images[i].names[j], &named, NULL) < 0 ||
                strcmp(named.domain, reference->domain) != 0 ||
                strcmp(named.path, reference->path) != 0)
                continue;
            if (push_reference(push, &named, err) < 0)
                return -1;
            pushed++;
        }
    char name[REFERENCE_TEXT_SIZE];
    return pushed ? 0
                  : error_set(err, 0, "no such image: %s (see 'hull images')",
                              reference_format_familiar_repository(reference, name));
}

static int check_name(const char *name, bool all_tags, struct reference *reference,
                      struct error *err)
{
    if (reference_parse(name, reference, err) < 0)
        return -1;
    if (*reference->digest)
        return error_set(err, 0, "%s: an image is pushed by a tag, not by a digest", name);
    if (all_tags && *reference->tag)
        return error_set(err, 0, "%s: all tags are asked for, and one is given", name);
    if (!all_tags)
        reference_default_tag(reference);
    return 0;
}

/* Before the registry is spoken to. */
static int check_image(struct image_store *store, const struct reference *reference,
                       struct error *err)
{
    scope_image struct image image = {0};
    char name[REFERENCE_TEXT_SIZE];
    int found = image_find(store, reference_format(reference, name), &image, err);
    return found != 0 ? (found < 0 ? -1 : 0)
                      : error_set(err, 0, "no such image: %s (see 'hull images')",
                                  reference_format_familiar(reference, name));
}

static int push_all(struct push *push, const struct reference *reference, struct error *err)
{
    scope_registry_config struct registry_config config;
    scope_registry_http struct registry_http http = {0};
    scope_registry_session struct registry_session session = {0};
    char repository[REFERENCE_TEXT_SIZE];
    if (registry_config_load(&config, err) < 0)
        return -1;
    say(push->options, "The push refers to repository [%s]",
        reference_format_repository(reference, repository));
    if (registry_session_open(&session, &config, reference->domain, reference->path, "pull,push",
                              push->options->warnings, &http, err) < 0)
        return error_wrap(err, "%s", repository);
    push->session = &session;
    push->http = &http;
    return push_names(push, reference, err);
}

int registry_client_push(struct image_store *store, const char *name,
                         const struct registry_push_options *options, struct error *err)
{
    scope_image_lease struct image_lease *lease = NULL;
    struct push push = {.store = store, .options = options};
    struct reference reference;
    if (check_name(name, options->all_tags, &reference, err) < 0 ||
        (!options->all_tags && check_image(store, &reference, err) < 0) ||
        image_lease_begin(store, &lease, err) < 0 || image_list(store, &push.all, err) < 0)
        return -1;
    push.lease = lease;
    int status = push_all(&push, &reference, err);
    image_list_release(&push.all);
    image_lease_end(scope_take_pointer(lease));
    /* Layers that were compressed anew belong to no image here. */
    if (options->compression != IMAGE_COMPRESSION_NONE)
        store_collect_rest(store);
    return status;
}
