/* Files made of unpacked layers, such as the file systems of virtual machines' disks:
 *
 *     derived/NAME.SUFFIX   made of layers/NAME; whole or absent, never changed
 *
 * Each is made once, under a lock on the layer's directory, and is collected with its layer. What
 * is being made is in unpack/ under the name of the maker's lease, so that nothing stays of a maker
 * that was killed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

struct deriving {
    struct image_store *store;
    struct image_lease *lease; /* begun for the first file that is missing */
    const struct image_derivation *derivation;
};

static struct store_path derived_path(const struct deriving *deriving, const char *name)
{
    struct store_path path;
    snprintf(path.text, sizeof path.text, "derived/%.24s.%.32s", name,
             deriving->derivation->suffix);
    return path;
}

static bool is_there(const struct deriving *deriving, const char *name)
{
    return faccessat(deriving->store->fd, derived_path(deriving, name).text, F_OK,
                     AT_SYMLINK_NOFOLLOW) == 0;
}

/* From now on no collection removes the layer. Its size in *size. */
static int hold_layer(struct deriving *deriving, const char *name, int64_t *size, struct error *err)
{
    struct image_store *store = deriving->store;
    char short_id[IMAGE_DIGEST_SIZE];
    snprintf(short_id, sizeof short_id, "sha256:%.24s", name);
    scope_close int lock = store_lock(store, STORE_LOCK_SHARED, err);
    if (lock < 0)
        return -1;
    json_t *info = store_layer_info(store, short_id);
    const char *chain = json_string_value(json_object_get(info, "chain_id"));
    *size = json_integer_value(json_object_get(info, "size"));
    int status = chain && reference_is_digest(chain) && store_layer_exists(store, short_id)
                     ? store_lease_hold(deriving->lease, "layer", chain, err)
                     : error_set(err, 0, "layer %s was just removed (pull the image again)", name);
    json_decref(info);
    return status;
}

static int open_locked(const struct deriving *deriving, const char *name, struct error *err)
{
    scope_free char *path = memory_format("layers/%s", name);
    scope_close int fd =
        openat(deriving->store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    while (fd < 0 || flock(fd, LOCK_EX) < 0)
        if (fd < 0 || errno != EINTR)
            return error_set(err, errno, "can't lock layer %s", name);
    return scope_take_fd(&fd);
}

/* On the disk before it has its name: after a power cut it is whole, or not there. */
static int settle(const struct deriving *deriving, const char *place, const char *path,
                  struct error *err)
{
    int store = deriving->store->fd;
    scope_close int fd = openat(store, place, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) < 0 || fchmod(fd, 0444) < 0 || renameat(store, place, store, path) < 0)
        return error_set(err, errno, "can't write %s/%s", deriving->store->directory, path);
    return 0;
}

static int make(struct deriving *deriving, const char *name, struct error *err)
{
    struct image_store *store = deriving->store;
    int64_t size;
    if (!deriving->lease && image_lease_begin(store, &deriving->lease, err) < 0)
        return -1;
    if (hold_layer(deriving, name, &size, err) < 0)
        return -1;
    scope_close int layer = open_locked(deriving, name, err);
    if (layer < 0)
        return -1;
    if (is_there(deriving, name))
        return 0;
    if (mkdirat(store->fd, "derived", 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "image store %s: can't make derived", store->directory);
    scope_free char *place =
        memory_format("unpack/%s.%u", deriving->lease->name, deriving->lease->serial++);
    scope_free char *beside = memory_format("%s/%s", store->directory, place);
    scope_free char *directory = memory_format("%s/layers/%s", store->directory, name);
    int status = deriving->derivation->make(name, directory, size, beside, err);
    if (status == 0)
        status = settle(deriving, place, derived_path(deriving, name).text, err);
    if (status < 0)
        unlinkat(store->fd, place, 0);
    return status;
}

int image_derive(struct image_store *store, const struct image *image,
                 const struct image_derivation *derivation, struct image_derived *derived,
                 struct error *err)
{
    scope_image_layers struct image_layers layers = {0};
    struct deriving deriving = {.store = store, .derivation = derivation};
    *derived = (struct image_derived){0};
    if (image_layers(store, image, &layers, err) < 0)
        return -1;
    derived->user_xattrs = layers.user_xattrs;
    derived->files = memory_allocate(layers.count + 1, sizeof *derived->files);
    int status = 0;
    for (size_t i = 0; i < layers.count && status == 0; i++) {
        if (!is_there(&deriving, layers.names[i]))
            status = make(&deriving, layers.names[i], err);
        derived->files[derived->count++] =
            memory_format("%s/%s", store->directory, derived_path(&deriving, layers.names[i]).text);
    }
    image_lease_end(deriving.lease);
    if (status < 0) {
        image_derived_release(derived);
        return error_wrap(err, "image %.19s", image->id);
    }
    return 0;
}

void image_derived_release(struct image_derived *derived)
{
    for (size_t i = 0; i < derived->count; i++)
        free(derived->files[i]);
    free(derived->files);
    *derived = (struct image_derived){0};
}
