/* Unpacked layers: where they are, what is known of them, and which an image consists of. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "base/user_namespace.h"
#include "image/store.h"

#define PARALLEL 2 /* layers that are unpacked at a time */
#define INFO_LIMIT 4096

bool store_uses_user_xattrs(void)
{
    return geteuid() != 0 || !user_namespace_is_first();
}

bool store_layer_exists(struct image_store *store, const char *chain_id)
{
    return faccessat(store->fd, store_layer_path(chain_id).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

json_t *store_layer_info(struct image_store *store, const char *chain_id)
{
    size_t length;
    scope_free char *text = file_read_all(store->fd, store_layer_info_path(chain_id, false).text,
                                          INFO_LIMIT, &length, NULL);
    if (!text)
        text = file_read_all(store->fd, store_layer_info_path(chain_id, true).text, INFO_LIMIT,
                             &length, NULL);
    return text ? json_loadb(text, length, 0, NULL) : NULL;
}

int64_t store_layer_size(struct image_store *store, const char *chain_id)
{
    json_t *info = store_layer_info(store, chain_id);
    json_t *size = json_object_get(info, "size");
    int64_t bytes = json_is_integer(size) ? json_integer_value(size) : -1;
    json_decref(info);
    return bytes;
}

int store_layer_place(struct image_store *store, const char *directory, const char *chain_id,
                      const char *diff_id, const struct archive_extract_result *result,
                      struct error *err)
{
    if (store_layer_exists(store, chain_id))
        return 1;
    json_t *info = json_pack("{s:s, s:s, s:I, s:I}", "chain_id", chain_id, "diff_id", diff_id,
                             "size", (json_int_t)result->bytes, "names", (json_int_t)result->names);
    scope_free char *text = json_dumps(info, JSON_COMPACT);
    json_decref(info);
    unlinkat(store->fd, store_layer_info_path(chain_id, false).text, 0);
    if (store_replace_file(store, store_layer_info_path(chain_id, true).text, text, strlen(text),
                           false, err) < 0)
        return -1;
    if (renameat(store->fd, directory, store->fd, store_layer_path(chain_id).text) == 0)
        return 0;
    if (errno == EEXIST || errno == ENOTEMPTY)
        return 1;
    return error_set(err, errno, "can't move the layer into its place");
}

void store_layers_settle(struct image_store *store, const struct image *image)
{
    char chain[IMAGE_DIGEST_SIZE];
    for (size_t i = 0; i < image->layer_count; i++) {
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, i + 1, chain);
        renameat(store->fd, store_layer_info_path(chain, true).text, store->fd,
                 store_layer_info_path(chain, false).text);
    }
}

static int list_fresh(struct image_store *store, json_t *names, struct error *err)
{
    int fd = openat(store->fd, "layer-info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "image store %s: can't read layer-info", store->directory);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (strlen(entry->d_name) == STORE_LAYER_NAME_SIZE - 1 + strlen(".fresh") &&
            strcmp(entry->d_name + STORE_LAYER_NAME_SIZE - 1, ".fresh") == 0)
            json_array_append_new(names, json_stringn(entry->d_name, STORE_LAYER_NAME_SIZE - 1));
    return 0;
}

int store_layers_settle_all(struct image_store *store, struct error *err)
{
    json_t *names = json_array(), *name;
    size_t i;
    int status = list_fresh(store, names, err);
    if (status == 0 && json_array_size(names) > 0)
        status = store_synchronise(store, err);
    if (status == 0)
        json_array_foreach(names, i, name)
        {
            scope_free char *chain = memory_format("sha256:%s", json_string_value(name));
            renameat(store->fd, store_layer_info_path(chain, true).text, store->fd,
                     store_layer_info_path(chain, false).text);
        }
    json_decref(names);
    return status;
}

/* ---- Directories that no entry described ---- */

static int copy_xattrs(int from, int to)
{
    char path[32], names[8192], value[65536];
    snprintf(path, sizeof path, "/proc/self/fd/%d", from);
    ssize_t length = listxattr(path, names, sizeof names);
    for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
        if (strstr(name, ".overlay."))
            continue;
        ssize_t size = getxattr(path, name, value, sizeof value);
        if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP &&
            errno != EPERM)
            return -1;
    }
    return 0;
}

static int copy_attributes(int from, int to)
{
    struct stat status;
    if (fstat(from, &status) < 0)
        return -1;
    struct timespec times[2] = {status.st_mtim, status.st_mtim};
    if ((status.st_uid != geteuid() || status.st_gid != getegid()) &&
        fchown(to, status.st_uid, status.st_gid) < 0)
        return -1;
    if (copy_xattrs(from, to) < 0 || fchmod(to, status.st_mode & 07777) < 0)
        return -1;
    return futimens(to, times);
}

/* From the topmost layer below that has the directory. */
static int inherit(struct image_store *store, int layer, const char *path,
                   const char (*parents)[IMAGE_DIGEST_SIZE], size_t parent_count, struct error *err)
{
    const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    scope_close int to =
        file_open_resolved(layer, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
    if (to < 0)
        return 0; /* a later entry took its place */
    for (size_t i = parent_count; i-- > 0;) {
        char chain[IMAGE_DIGEST_SIZE];
        image_chain_id(parents, i + 1, chain);
        scope_close int below =
            openat(store->fd, store_layer_path(chain).text, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (below < 0)
            return error_set(err, errno, "the layer below, %.19s, isn't unpacked", chain);
        scope_close int from =
            file_open_resolved(below, path, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0, resolve);
        if (from < 0 && errno == ENOENT)
            continue;
        if (from < 0)
            return 0; /* removed or replaced there */
        if (copy_attributes(from, to) < 0)
            return error_set(err, errno, "can't set the attributes of %s", path);
        return 0;
    }
    return 0;
}

int store_layer_inherit(struct image_store *store, int layer, char *const *implicit,
                        size_t implicit_count, const char (*parents)[IMAGE_DIGEST_SIZE],
                        size_t parent_count, struct error *err)
{
    /* Deepest last: what is set on a directory doesn't change those above. */
    for (size_t i = 0; i < implicit_count; i++)
        if (inherit(store, layer, implicit[i], parents, parent_count, err) < 0)
            return -1;
    return 0;
}

/* ---- The layers of an image ---- */

void image_layers_release(struct image_layers *layers)
{
    for (size_t i = 0; i < layers->count; i++) {
        free(layers->directories[i]);
        free(layers->names[i]);
    }
    free(layers->directories);
    free(layers->names);
    free(layers->base);
    *layers = (struct image_layers){0};
}

/* Layers first … of the missing ones are begun, then ended in their order. */
struct unpacking {
    struct image_unpack *unpacks[PARALLEL];
    size_t layers[PARALLEL];
    size_t begun, ended;
};

static int begin_layer(struct image_store *store, const struct image *image,
                       struct image_lease *lease, size_t layer,
                       const struct image_progress *progress, struct unpacking *unpacking,
                       struct error *err)
{
    char chain[IMAGE_DIGEST_SIZE], item[13];
    image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, layer + 1, chain);
    snprintf(item, sizeof item, "%.12s", digest_hex(image->layers[layer].digest));
    struct image_unpack *unpack;
    int status = image_unpack_begin(store, lease, chain, image->diff_ids[layer], NULL, progress,
                                    item, &unpack, err);
    if (status != 0)
        return status < 0 ? -1 : 0;
    unpacking->unpacks[unpacking->begun % PARALLEL] = unpack;
    unpacking->layers[unpacking->begun % PARALLEL] = layer;
    unpacking->begun++;
    return image_unpack_blob(unpack, image->layers[layer].digest, err);
}

static int end_layer(const struct image *image, struct unpacking *unpacking,
                     const struct image_progress *progress, struct error *err)
{
    size_t slot = unpacking->ended++ % PARALLEL, layer = unpacking->layers[slot];
    char item[13];
    int status = image_unpack_commit(unpacking->unpacks[slot],
                                     (const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, layer, err);
    snprintf(item, sizeof item, "%.12s", digest_hex(image->layers[layer].digest));
    image_progress_update(progress, item,
                          status < 0 ? IMAGE_PROGRESS_FAILED : IMAGE_PROGRESS_COMPLETE, 0, 0);
    return status;
}

int store_unpack_layers(struct image_store *store, struct image_lease *lease,
                        const struct image *image, const struct image_progress *progress,
                        struct error *err)
{
    struct unpacking unpacking = {0};
    int status = 0;
    for (size_t i = 0; i < image->layer_count && status == 0; i++) {
        if (unpacking.begun - unpacking.ended == PARALLEL)
            status = end_layer(image, &unpacking, progress, err);
        if (status == 0)
            status = begin_layer(store, image, lease, i, progress, &unpacking, err);
    }
    while (unpacking.ended < unpacking.begun)
        if (status == 0)
            status = end_layer(image, &unpacking, progress, err);
        else
            image_unpack_abort(unpacking.unpacks[unpacking.ended++ % PARALLEL]);
    return status;
}

static int unpack_missing(struct image_store *store, const struct image *image, struct error *err)
{
    scope_image_lease struct image_lease *lease = NULL;
    if (image_lease_begin(store, &lease, err) < 0 ||
        store_unpack_layers(store, lease, image, NULL, err) < 0)
        return error_wrap(err, "image %.19s", image->id);
    if (store_synchronise(store, err) < 0)
        return -1;
    store_layers_settle(store, image);
    return 0;
}

/* Overlayfs looks for no mark on the root of a layer: what is below such a one is left away. */
static void drop_hidden(struct image_layers *layers)
{
    const char *key = layers->user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque";
    char value[2];
    size_t visible = 1;
    while (visible < layers->count &&
           getxattr(layers->directories[visible - 1], key, value, sizeof value) != 1)
        visible++;
    for (; layers->count > visible; layers->count--) {
        free(layers->directories[layers->count - 1]);
        free(layers->names[layers->count - 1]);
    }
}

int image_layers(struct image_store *store, const struct image *image, struct image_layers *layers,
                 struct error *err)
{
    bool missing = false;
    *layers = (struct image_layers){.user_xattrs = store_uses_user_xattrs()};
    layers->base = memory_format("%s/layers", store->directory);
    layers->directories = memory_allocate(image->layer_count, sizeof *layers->directories);
    layers->names = memory_allocate(image->layer_count, sizeof *layers->names);
    for (size_t i = image->layer_count; i-- > 0;) {
        char chain[IMAGE_DIGEST_SIZE];
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, i + 1, chain);
        missing = missing || !store_layer_exists(store, chain);
        struct store_path path = store_layer_path(chain);
        layers->names[layers->count] = memory_copy_string(strchr(path.text, '/') + 1);
        layers->directories[layers->count++] = memory_format("%s/%s", store->directory, path.text);
    }
    if (missing && unpack_missing(store, image, err) < 0) {
        image_layers_release(layers);
        return -1;
    }
    drop_hidden(layers);
    return 0;
}
