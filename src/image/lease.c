/* Leases: what keeps blobs and layers from being collected though no name leads to them.
 *
 *     leases/pull.ID     of a running process, which has it locked (flock); lines "blob DIGEST" and
 *                        "layer CHAIN-ID". One that nobody has locked is a dead process's.
 *     leases/keep.OWNER  of a container: {"label", "image", "manifest"} */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

#define LEASE_LIMIT (16u << 20)

static int fail(struct image_store *store, const char *name, int code, struct error *err)
{
    return error_set(err, code, "image store %s: lease %s", store->directory, name);
}

int image_lease_begin(struct image_store *store, struct image_lease **result, struct error *err)
{
    uint64_t random;
    *result = NULL;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set(err, errno, "can't get a random number");
    scope_close int lock = store_lock(store, STORE_LOCK_SHARED, err);
    if (lock < 0)
        return -1;
    char name[32], path[64];
    snprintf(name, sizeof name, "pull.%016llx", (unsigned long long)random);
    snprintf(path, sizeof path, "leases/%s", name);
    scope_close int fd =
        openat(store->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return fail(store, name, errno, err);
    struct image_lease *lease = memory_allocate(1, sizeof *lease);
    lease->store = store;
    lease->fd = scope_take_fd(&fd);
    strcpy(lease->name, name);
    *result = lease;
    return 0;
}

void image_lease_end(struct image_lease *lease)
{
    if (!lease)
        return;
    char path[64];
    snprintf(path, sizeof path, "leases/%s", lease->name);
    unlinkat(lease->store->fd, path, 0);
    close(lease->fd);
    free(lease);
}

int store_lease_hold(struct image_lease *lease, const char *kind, const char *digest,
                     struct error *err)
{
    char line[IMAGE_DIGEST_SIZE + 16];
    int length = snprintf(line, sizeof line, "%s %s\n", kind, digest);
    if (file_write_all(lease->fd, line, (size_t)length) < 0)
        return fail(lease->store, lease->name, errno, err);
    return 0;
}

bool store_lease_is_alive(struct image_store *store, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "leases/%s", name);
    scope_close int fd = openat(store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static int check_owner(const char *owner, struct error *err)
{
    size_t length = strspn(owner, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_.-");
    if (length == 0 || length > 128 || owner[length])
        return error_set(err, 0, "'%.130s' can't own a lease of an image", owner);
    return 0;
}

int image_lease_take(struct image_store *store, const char *owner, const char *label,
                     const struct image *image, struct error *err)
{
    if (check_owner(owner, err) < 0)
        return -1;
    scope_close int lock = store_lock(store, STORE_LOCK_SHARED, err);
    if (lock < 0)
        return -1;
    if (faccessat(store->fd, store_blob_path(image->manifest_digest).text, F_OK, 0) < 0)
        return error_set(err, 0, "image %.19s was just removed (pull it again)", image->id);
    json_t *lease = json_pack("{s:s, s:s, s:s}", "label", label ? label : owner, "image", image->id,
                              "manifest", image->manifest_digest);
    scope_free char *text = json_dumps(lease, JSON_COMPACT);
    json_decref(lease);
    if (!text)
        return error_set(err, 0, "lease of %s: its label isn't UTF-8", owner);
    scope_free char *path = memory_format("leases/keep.%s", owner);
    return store_replace_file(store, path, text, strlen(text), false, err);
}

int image_lease_release(struct image_store *store, const char *owner, struct error *err)
{
    if (check_owner(owner, err) < 0)
        return -1;
    scope_free char *path = memory_format("leases/keep.%s", owner);
    if (unlinkat(store->fd, path, 0) < 0 && errno != ENOENT)
        return fail(store, owner, errno, err);
    return 0;
}

/* Reads a container's lease; NULL if it is gone or not readable (then said as a warning). */
static json_t *read_lease(struct image_store *store, const char *name)
{
    scope_free char *path = memory_format("leases/%s", name);
    struct error err = {0};
    size_t length;
    scope_free char *text = file_read_all(store->fd, path, LEASE_LIMIT, &length, &err);
    if (!text) {
        if (err.code != ENOENT)
            store_warn(store, "%s", err.text);
        return NULL;
    }
    json_t *lease = json_loadb(text, length, 0, NULL);
    if (!json_is_object(lease))
        store_warn(store, "image store %s: lease %s is damaged", store->directory, name);
    return lease;
}

int image_find_held(struct image_store *store, const char *owner, const char *id,
                    struct image *image, struct error *err)
{
    int found = image_find(store, id, image, err);
    if (found != 0 || check_owner(owner, err) < 0)
        return found;
    scope_free char *name = memory_format("keep.%s", owner);
    json_t *lease = read_lease(store, name);
    const char *manifest = json_string_value(json_object_get(lease, "manifest"));
    const char *held = json_string_value(json_object_get(lease, "image"));
    if (manifest && held && reference_is_digest(manifest) && strcmp(held, id) == 0)
        found = store_image_read_manifest(store, manifest, image, err) < 0 ? -1 : 1;
    json_decref(lease);
    return found;
}

static DIR *open_leases(struct image_store *store, struct error *err)
{
    int fd = openat(store->fd, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        error_set(err, errno, "image store %s: can't read its leases", store->directory);
    return stream;
}

static char *copy_member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return memory_copy_string(text ? text : "");
}

int image_lease_list(struct image_store *store, struct image_lease_holder **holders, size_t *count,
                     struct error *err)
{
    *holders = NULL;
    *count = 0;
    scope_closedir DIR *stream = open_leases(store, err);
    if (!stream)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        if (strncmp(entry->d_name, "keep.", 5) != 0)
            continue;
        json_t *lease = read_lease(store, entry->d_name);
        if (!lease)
            continue;
        *holders = memory_resize(*holders, *count + 1, sizeof **holders);
        struct image_lease_holder *holder = &(*holders)[(*count)++];
        const char *id = json_string_value(json_object_get(lease, "image"));
        holder->owner = memory_copy_string(entry->d_name + 5);
        holder->label = copy_member(lease, "label");
        snprintf(holder->image, sizeof holder->image, "%s", id ? id : "");
        json_decref(lease);
    }
    return 0;
}

void image_lease_holders_free(struct image_lease_holder *holders, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(holders[i].owner);
        free(holders[i].label);
    }
    free(holders);
}

void store_set_add(struct store_set *set, const char *digest)
{
    if (!set->members)
        set->members = json_object();
    json_object_set_new(set->members, digest, json_true());
}

bool store_set_has(const struct store_set *set, const char *digest)
{
    return json_object_get(set->members, digest) != NULL;
}

int store_lease_read(struct image_store *store, const char *name, struct store_set *blobs,
                     struct store_set *layers, struct error *err)
{
    scope_free char *path = memory_format("leases/%s", name);
    size_t length;
    scope_free char *text = file_read_all(store->fd, path, LEASE_LIMIT, &length, err);
    if (!text)
        return err->code == ENOENT ? 0 : -1;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *digest = strchr(line, ' ');
        if (!digest || !reference_is_digest(digest + 1))
            continue;
        store_set_add(*line == 'b' ? blobs : layers, digest + 1);
    }
    return 0;
}

static void add_image(struct image_store *store, const char *manifest, const char *lease,
                      struct store_set *blobs, struct store_set *layers)
{
    scope_image struct image image = {0};
    struct error err = {0};
    store_set_add(blobs, manifest);
    if (store_image_read_manifest(store, manifest, &image, &err) < 0) {
        store_warn(store, "lease %s: %s", lease, err.text);
        return;
    }
    store_set_add(blobs, image.id);
    char chain[IMAGE_DIGEST_SIZE];
    for (size_t i = 0; i < image.layer_count; i++) {
        store_set_add(blobs, image.layers[i].digest);
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image.diff_ids, i + 1, chain);
        store_set_add(layers, chain);
    }
}

int store_lease_roots(struct image_store *store, bool drop, struct store_set *blobs,
                      struct store_set *layers, struct error *err)
{
    scope_closedir DIR *stream = open_leases(store, err);
    if (!stream)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        const char *name = entry->d_name;
        if (strncmp(name, "pull.", 5) == 0) {
            bool alive = store_lease_is_alive(store, name);
            if (!alive && drop)
                unlinkat(dirfd(stream), name, 0);
            else if (alive && store_lease_read(store, name, blobs, layers, err) < 0)
                return -1;
        } else if (strncmp(name, "keep.", 5) == 0) {
            json_t *lease = read_lease(store, name);
            const char *manifest = json_string_value(json_object_get(lease, "manifest"));
            if (manifest && reference_is_digest(manifest))
                add_image(store, manifest, name, blobs, layers);
            json_decref(lease);
        }
    }
    return 0;
}
