/* New images of what is here: a container's changes, or a tar. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/compose.h"

#define PIECE_SIZE (256u << 10)

/* The layers of the parent, in OCI's names of media types. */
static json_t *copy_layers(const struct image *parent)
{
    json_t *layers = json_array();
    for (size_t i = 0; parent && i < parent->layer_count; i++)
        json_array_append_new(layers,
                              compose_layer(compose_oci_type(parent->layers[i].media_type),
                                            parent->layers[i].digest, parent->layers[i].size));
    return layers;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

static json_t *member(json_t *object, const char *key, json_t *otherwise)
{
    json_t *found = json_object_get(object, key);
    if (found) {
        json_decref(otherwise);
        return found;
    }
    json_object_set_new(object, key, otherwise);
    return otherwise;
}

/* One more step in the history, and, unless diff_id is NULL, one more layer. */
static void add_step(json_t *config, const char *diff_id, int64_t created, const char *author,
                     const char *comment, const char *created_by)
{
    char time[32];
    json_t *step = json_object();
    store_format_time(created, time);
    json_object_set_new(step, "created", json_string(time));
    json_object_set_new(config, "created", json_string(time));
    set_text(step, "author", author);
    set_text(step, "created_by", created_by);
    set_text(step, "comment", comment);
    if (!diff_id)
        json_object_set_new(step, "empty_layer", json_true());
    json_array_append_new(member(config, "history", json_array()), step);
    json_t *rootfs = member(config, "rootfs", json_pack("{s:s}", "type", "layers"));
    json_t *diff_ids = member(rootfs, "diff_ids", json_array());
    if (diff_id)
        json_array_append_new(diff_ids, json_string(diff_id));
}

static json_t *begin_config(const struct image *parent, const struct platform *platform)
{
    if (parent)
        return json_deep_copy(parent->config);
    json_t *config =
        json_pack("{s:s, s:s}", "architecture", platform->architecture, "os", platform->os);
    set_text(config, "variant", platform->variant);
    return config;
}

/* Writes the upper directory as a layer on top of the parent's. */
static int add_upper(struct image_store *store, struct image_lease *lease,
                     const struct image_commit *commit, json_t *layers,
                     char diff_id[IMAGE_DIGEST_SIZE], struct error *err)
{
    const struct archive_tree_options options = {.layer = true, .warnings = store->warnings};
    scope_close int root = open(commit->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, errno, "can't read the container's files in %s", commit->upper);
    struct compose_tar *tar;
    json_t *layer;
    if (compose_tar_begin(store, lease, true, NULL, &tar, err) < 0)
        return -1;
    if (archive_write_tree(root, "", &options, compose_tar_take, tar, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    const struct image *parent = commit->parent;
    if (compose_tar_commit(tar, parent ? (const char(*)[IMAGE_DIGEST_SIZE])parent->diff_ids : NULL,
                           parent ? parent->layer_count : 0, diff_id, &layer, err) < 0)
        return -1;
    json_array_append_new(layers, layer);
    return 0;
}

static int make_commit(struct image_store *store, const struct image_commit *commit,
                       struct image *image, struct error *err)
{
    scope_image_lease struct image_lease *lease = NULL;
    char diff_id[IMAGE_DIGEST_SIZE] = "";
    struct platform host;
    platform_host(&host);
    if (image_lease_begin(store, &lease, err) < 0)
        return -1;
    /* The directories that the changes stand on. */
    if (commit->parent && commit->upper) {
        scope_image_layers struct image_layers below = {0};
        if (image_layers(store, commit->parent, &below, err) < 0)
            return -1;
    }
    json_t *layers = copy_layers(commit->parent);
    int status = commit->upper ? add_upper(store, lease, commit, layers, diff_id, err) : 0;
    if (status == 0) {
        json_t *config = begin_config(commit->parent, &host);
        if (commit->config)
            json_object_set(config, "config", commit->config);
        set_text(config, "author", commit->author);
        add_step(config, commit->upper ? diff_id : NULL,
                 commit->created ? commit->created : time(NULL), commit->author, commit->comment,
                 commit->created_by);
        status = compose_image(store, lease, config, layers, commit->reference, image, err);
        json_decref(config);
    }
    json_decref(layers);
    return status;
}

int image_commit(struct image_store *store, const struct image_commit *commit, struct image *image,
                 struct error *err)
{
    image_store_tidy(store, NULL);
    int status = make_commit(store, commit, image, err);
    if (status < 0)
        store_collect_rest(store);
    return status;
}

static int copy_archive(int fd, struct compose_tar *tar, struct error *err)
{
    scope_free char *piece = memory_allocate(1, PIECE_SIZE);
    for (;;) {
        ssize_t count = read(fd, piece, PIECE_SIZE);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(err, errno, "can't read the archive");
        if (count == 0)
            return 0;
        if (compose_tar_take(tar, piece, (size_t)count, err) < 0)
            return -1;
    }
}

/* The archive becomes the layer as it is, compressed or not. */
static int add_archive(struct image_store *store, struct image_lease *lease, int fd,
                       const struct image_limits *limits, json_t *layers,
                       char diff_id[IMAGE_DIGEST_SIZE], struct error *err)
{
    struct compose_tar *tar;
    json_t *layer;
    if (compose_tar_begin(store, lease, false, limits, &tar, err) < 0)
        return -1;
    if (copy_archive(fd, tar, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    if (compose_tar_commit(tar, NULL, 0, diff_id, &layer, err) < 0)
        return -1;
    json_array_append_new(layers, layer);
    return 0;
}

static int make_import(struct image_store *store, int fd, const struct image_import *import,
                       struct image *image, struct error *err)
{
    scope_image_lease struct image_lease *lease = NULL;
    char diff_id[IMAGE_DIGEST_SIZE];
    struct platform host;
    platform_host(&host);
    if (image_lease_begin(store, &lease, err) < 0)
        return -1;
    json_t *layers = json_array();
    int status = add_archive(store, lease, fd, &import->limits, layers, diff_id, err);
    if (status == 0) {
        json_t *config = begin_config(NULL, import->platform ? import->platform : &host);
        json_object_set_new(config, "config",
                            import->config ? json_incref(import->config) : json_object());
        add_step(config, diff_id, time(NULL), NULL, import->comment, NULL);
        status = compose_image(store, lease, config, layers, import->reference, image, err);
        json_decref(config);
    }
    json_decref(layers);
    return status;
}

int image_import(struct image_store *store, int fd, const struct image_import *import,
                 struct image *image, struct error *err)
{
    image_store_tidy(store, NULL);
    int status = make_import(store, fd, import, image, err);
    if (status < 0)
        store_collect_rest(store);
    return status;
}
