/* How much the store takes, and what of it is in use. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

/* What the files in one of the store's directories, which may be missing, take. */
static int64_t sum_files(struct image_store *store, const char *directory)
{
    int64_t sum = 0;
    int fd = openat(store->fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode))
            sum += status.st_size;
    }
    return sum;
}

static int64_t sum_layers(struct image_store *store)
{
    int64_t sum = 0;
    int fd = openat(store->fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        char chain[IMAGE_DIGEST_SIZE];
        snprintf(chain, sizeof chain, "sha256:%.24s", entry->d_name);
        int64_t size = entry->d_name[0] == '.' ? 0 : store_layer_size(store, chain);
        sum += size > 0 ? size : 0;
    }
    return sum;
}

/* Adds what the images for which `held` is as asked have, each layer once. */
static int64_t sum_images(struct image_store *store, const struct image_list *list,
                          const struct store_set *active, bool held, struct store_set *seen)
{
    int64_t sum = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct image *image = &list->images[i];
        if (store_set_has(active, image->id) != held)
            continue;
        for (size_t j = 0; j < image->layer_count; j++) {
            char chain[IMAGE_DIGEST_SIZE];
            image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image->diff_ids, j + 1, chain);
            if (store_set_has(seen, chain))
                continue;
            store_set_add(seen, chain);
            int64_t size = store_layer_size(store, chain);
            sum += image->layers[j].size + (size > 0 ? size : 0);
        }
    }
    return sum;
}

int image_store_usage(struct image_store *store, struct image_usage *usage, struct error *err)
{
    scope_image_list struct image_list list = {0};
    struct image_lease_holder *holders;
    struct store_set active = {0}, seen = {0};
    size_t count;
    *usage = (struct image_usage){0};
    if (image_list(store, &list, err) < 0 || image_lease_list(store, &holders, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        store_set_add(&active, holders[i].image);
    image_lease_holders_free(holders, count);
    usage->blobs = sum_files(store, "blobs/sha256");
    usage->layers = sum_layers(store) + sum_files(store, "derived");
    usage->images = list.count;
    for (size_t i = 0; i < list.count; i++)
        usage->active += store_set_has(&active, list.images[i].id);
    sum_images(store, &list, &active, true, &seen);
    usage->reclaimable = sum_images(store, &list, &active, false, &seen);
    json_decref(active.members);
    json_decref(seen.members);
    return 0;
}
