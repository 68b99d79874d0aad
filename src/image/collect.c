/* Collecting what neither a name nor a lease holds. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/members.h"
#include "image/store.h"

void store_removal_add(char ***list, size_t *count, const char *text)
{
    *list = memory_resize(*list, *count + 1, sizeof **list);
    (*list)[(*count)++] = memory_copy_string(text);
}

static DIR *open_directory(struct image_store *store, const char *path, struct error *err)
{
    int fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        error_set(err, errno, "image store %s: can't read %s", store->directory, path);
    return stream;
}

/* All that is here of an image for several platforms. */
static int add_platforms(struct image_store *store, const json_t *element, struct store_set *blobs,
                         struct error *err)
{
    const char *index = store_index_of_platforms(element);
    scope_image_members struct image_members members = {0};
    if (!*index || store_set_has(blobs, index))
        return 0;
    if (image_members_read(store, index, &members, err) < 0)
        return error_wrap(err,
                          "nothing is collected while the index of image %s is damaged "
                          "(remove it)",
                          *store_index_name(element) ? store_index_name(element) : index);
    for (size_t i = 0; i < members.count; i++) {
        store_set_add(blobs, members.items[i].digest);
        for (size_t j = 0; j < members.items[i].blob_count; j++)
            store_set_add(blobs, members.items[i].blobs[j].digest);
    }
    return 0;
}

/* What index.json holds. A manifest that can't be read holds itself: nothing that it may lead to
 * can be told from rubbish, so the collection fails. */
static int add_index_roots(struct image_store *store, const json_t *index, struct store_set *blobs,
                           struct store_set *layers, struct store_set *platforms, struct error *err)
{
    json_t *element;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        scope_image struct image image = {0};
        const char *digest = store_index_digest(element);
        if (add_platforms(store, element, platforms, err) < 0)
            return -1;
        if (!*digest || store_set_has(blobs, digest))
            continue;
        store_set_add(blobs, digest);
        if (store_image_read_manifest(store, digest, &image, err) < 0)
            return error_wrap(err, "nothing is collected while image %s is damaged (remove it)",
                              *store_index_name(element) ? store_index_name(element) : digest);
        store_set_add(blobs, image.id);
        char chain[IMAGE_DIGEST_SIZE];
        for (size_t j = 0; j < image.layer_count; j++) {
            store_set_add(blobs, image.layers[j].digest);
            image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image.diff_ids, j + 1, chain);
            store_set_add(layers, chain);
        }
    }
    return 0;
}

static void note_deleted(struct image_removal *removal, const char *digest, int64_t bytes)
{
    if (!removal)
        return;
    if (digest)
        store_removal_add(&removal->deleted, &removal->deleted_count, digest);
    removal->reclaimed += bytes;
}

static int collect_blobs(struct image_store *store, const struct store_set *held,
                         const struct store_set *held_too, struct image_removal *removal,
                         struct error *err)
{
    scope_closedir DIR *stream = open_directory(store, "blobs/sha256", err);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char digest[IMAGE_DIGEST_SIZE];
        struct stat status;
        if (strlen(entry->d_name) != 64)
            continue;
        snprintf(digest, sizeof digest, "sha256:%.64s", entry->d_name);
        if (store_set_has(held, digest) || store_set_has(held_too, digest) ||
            fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) < 0)
            return error_set(err, errno, "can't remove blob %s", digest);
        note_deleted(removal, NULL, status.st_size);
    }
    return stream ? 0 : -1;
}

/* Names of layers are the first digits of their chain ids. */
static struct store_set shorten(const struct store_set *chains)
{
    struct store_set names = {0};
    const char *chain;
    json_t *ignored;
    json_object_foreach(chains->members, chain, ignored)
    {
        char name[STORE_LAYER_NAME_SIZE];
        snprintf(name, sizeof name, "%.24s", digest_hex(chain));
        store_set_add(&names, name);
    }
    return names;
}

static int drop_layer(struct image_store *store, const char *name, struct image_removal *removal,
                      struct error *err)
{
    char path[64], chain[IMAGE_DIGEST_SIZE];
    /* Only the name's digits count for the functions that make paths. */
    snprintf(chain, sizeof chain, "sha256:%s", name);
    json_t *info = store_layer_info(store, chain);
    int64_t size = json_integer_value(json_object_get(info, "size"));
    const char *recorded = json_string_value(json_object_get(info, "chain_id"));
    note_deleted(removal, recorded, size > 0 ? size : 0);
    json_decref(info);
    snprintf(path, sizeof path, "layers/%s", name);
    if (store_move_to_trash(store, path, err) < 0)
        return -1;
    unlinkat(store->fd, store_layer_info_path(chain, false).text, 0);
    unlinkat(store->fd, store_layer_info_path(chain, true).text, 0);
    return 0;
}

static int collect_layers(struct image_store *store, const struct store_set *held,
                          struct image_removal *removal, struct error *err)
{
    struct dirent *entry;
    {
        scope_closedir DIR *stream = open_directory(store, "layers", err);
        while (stream && (entry = readdir(stream)))
            if (entry->d_name[0] != '.' && !store_set_has(held, entry->d_name) &&
                drop_layer(store, entry->d_name, removal, err) < 0)
                return -1;
        if (!stream)
            return -1;
    }
    /* What was noted of layers that never came into their place. */
    scope_closedir DIR *stream = open_directory(store, "layer-info", err);
    while (stream && (entry = readdir(stream))) {
        char path[STORE_LAYER_NAME_SIZE + 8];
        snprintf(path, sizeof path, "layers/%.24s", entry->d_name);
        if (entry->d_name[0] != '.' && faccessat(store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
    return stream ? 0 : -1;
}

/* Files made of layers that nothing holds. */
static int collect_derived(struct image_store *store, const struct store_set *held,
                           struct image_removal *removal, struct error *err)
{
    if (faccessat(store->fd, "derived", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    scope_closedir DIR *stream = open_directory(store, "derived", err);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char name[STORE_LAYER_NAME_SIZE];
        struct stat status;
        snprintf(name, sizeof name, "%s", entry->d_name);
        if (entry->d_name[0] == '.' || store_set_has(held, name) ||
            fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) < 0)
            return error_set(err, errno, "can't remove derived/%s", entry->d_name);
        note_deleted(removal, NULL, (int64_t)status.st_blocks * 512);
    }
    return stream ? 0 : -1;
}

/* Partial blobs that nobody writes. Of those without an expected digest nothing can be gone on. */
static int collect_partial(struct image_store *store, bool all, struct image_removal *removal,
                           struct error *err)
{
    scope_closedir DIR *stream = open_directory(store, "ingest", err);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        struct stat status;
        if (entry->d_name[0] == '.' || (!all && strncmp(entry->d_name, "pull.", 5) != 0))
            continue;
        scope_close int fd =
            openat(dirfd(stream), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &status) < 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) == 0)
            note_deleted(removal, NULL, status.st_size);
    }
    return stream ? 0 : -1;
}

/* Documents that were written beside by processes that are gone: all others hold a lock. */
static int collect_documents(struct image_store *store, struct error *err)
{
    scope_closedir DIR *stream = open_directory(store, "unpack", err);
    struct dirent *entry;
    while (stream && (entry = readdir(stream)))
        if (strncmp(entry->d_name, "file.", 5) == 0)
            unlinkat(dirfd(stream), entry->d_name, 0);
    return stream ? 0 : -1;
}

void store_collect_rest(struct image_store *store)
{
    scope_close int trash = -1;
    {
        scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, NULL);
        trash = store_hold_trash(store);
        json_t *index = lock < 0 ? NULL : store_index_read(store, NULL);
        if (index)
            store_collect(store, index, false, NULL, NULL);
        json_decref(index);
    }
    store_empty_trash(store, NULL);
}

int store_collect(struct image_store *store, const json_t *index, bool partial,
                  struct image_removal *removal, struct error *err)
{
    struct store_set blobs = {0}, layers = {0}, platforms = {0}, names = {0};
    int status = add_index_roots(store, index, &blobs, &layers, &platforms, err);
    if (status == 0)
        status = store_lease_roots(store, true, &blobs, &layers, err);
    if (status == 0) {
        names = shorten(&layers);
        status = collect_layers(store, &names, removal, err);
    }
    if (status == 0)
        status = collect_derived(store, &names, removal, err);
    if (status == 0)
        status = collect_blobs(store, &blobs, &platforms, removal, err);
    if (status == 0)
        status = collect_partial(store, partial, removal, err);
    if (status == 0)
        status = collect_documents(store, err);
    json_decref(blobs.members);
    json_decref(layers.members);
    json_decref(platforms.members);
    json_decref(names.members);
    return status;
}

int image_store_tidy(struct image_store *store, struct error *err)
{
    struct store_set blobs = {0}, layers = {0};
    {
        scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
        if (lock < 0)
            return -1;
        int status = store_lease_roots(store, true, &blobs, &layers, err);
        json_decref(blobs.members);
        json_decref(layers.members);
        if (status < 0 || collect_partial(store, false, NULL, err) < 0 ||
            collect_documents(store, err) < 0)
            return -1;
    }
    return store_empty_trash(store, err);
}
