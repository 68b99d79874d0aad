/* The store's invariants, verified: under the lock whatever may change, and without it, as that
 * takes long, what is in the blobs, which don't. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/members.h"
#include "image/store.h"

#define PIECE_SIZE (1u << 20)
#define LEASE_LIMIT 65536
#define DEPTH_MAX 200

struct check {
    struct image_store *store;
    bool quick;
    void (*report)(const char *fault, void *context);
    void *context;
    int faults;
    struct store_set held;   /* blobs that images need */
    struct store_set layers; /* names of layers that images need */
    struct store_set busy;   /* names of layers that running processes are about to acknowledge */
    struct store_set blobs;  /* names of blobs to be read */
};

__attribute__((format(printf, 2, 3))) static void fault(struct check *check, const char *format,
                                                        ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    check->faults++;
    if (check->report)
        check->report(text, check->context);
}

static void add_layer_name(struct store_set *set, const char *chain_id)
{
    char name[STORE_LAYER_NAME_SIZE];
    snprintf(name, sizeof name, "%.24s", digest_hex(chain_id));
    store_set_add(set, name);
}

static void check_layer_blob(struct check *check, const struct image *image,
                             const struct image_descriptor *layer)
{
    struct stat status;
    store_set_add(&check->held, layer->digest);
    if (fstatat(check->store->fd, store_blob_path(layer->digest).text, &status,
                AT_SYMLINK_NOFOLLOW) < 0)
        fault(check, "image %.19s: layer %s is missing", image->id, layer->digest);
    else if (status.st_size != layer->size)
        fault(check, "image %.19s: layer %s has %lld bytes instead of %lld", image->id,
              layer->digest, (long long)status.st_size, (long long)layer->size);
}

static void check_manifest(struct check *check, const char *manifest, const char *holder)
{
    scope_image struct image image = {0};
    struct error err = {0};
    if (!*manifest) {
        fault(check, "%s leads to no manifest", holder);
        return;
    }
    store_set_add(&check->held, manifest);
    if (store_image_read_manifest(check->store, manifest, &image, &err) < 0) {
        fault(check, "%s: %s", holder, err.text);
        return;
    }
    store_set_add(&check->held, image.id);
    for (size_t i = 0; i < image.layer_count; i++) {
        char chain[IMAGE_DIGEST_SIZE];
        check_layer_blob(check, &image, &image.layers[i]);
        image_chain_id((const char(*)[IMAGE_DIGEST_SIZE])image.diff_ids, i + 1, chain);
        add_layer_name(&check->layers, chain);
    }
}

/* Of the other platforms' images not everything has to be here. */
static void check_platforms(struct check *check, const char *index, const char *holder)
{
    scope_image_members struct image_members members = {0};
    struct error err = {0};
    if (*index && image_members_read(check->store, index, &members, &err) < 0)
        fault(check, "%s: %s", holder, err.text);
    for (size_t i = 0; i < members.count; i++) {
        store_set_add(&check->held, members.items[i].digest);
        for (size_t j = 0; j < members.items[i].blob_count; j++)
            store_set_add(&check->held, members.items[i].blobs[j].digest);
    }
}

static int check_index(struct check *check, struct error *err)
{
    json_t *index = store_index_read(check->store, err), *element;
    struct store_set names = {0};
    size_t i;
    if (!index)
        return -1;
    json_array_foreach(json_object_get(index, "manifests"), i, element)
    {
        const char *name = store_index_name(element);
        if (*name && store_set_has(&names, name))
            fault(check, "the name %s is given twice", name);
        if (*name)
            store_set_add(&names, name);
        const char *holder = *name ? name : "an image without name";
        check_manifest(check, store_index_digest(element), holder);
        check_platforms(check, store_index_of_platforms(element), holder);
    }
    json_decref(names.members);
    json_decref(index);
    return 0;
}

static void check_bytes(struct check *check, const char *name)
{
    struct digest sum;
    char found[IMAGE_DIGEST_SIZE];
    scope_free char *path = memory_format("blobs/sha256/%s", name);
    scope_close int fd = openat(check->store->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    scope_free char *piece = memory_allocate(1, PIECE_SIZE);
    ssize_t count = -1;
    if (fd < 0 && errno == ENOENT)
        return; /* removed meanwhile */
    digest_begin(&sum);
    while (fd >= 0 && ((count = read(fd, piece, PIECE_SIZE)) > 0 || (count < 0 && errno == EINTR)))
        if (count > 0)
            digest_update(&sum, piece, (size_t)count);
    digest_finish(&sum, found);
    if (count < 0)
        fault(check, "blob %s can't be read: %s", name, strerror(errno));
    else if (strcmp(digest_hex(found), name) != 0)
        fault(check, "blob %s is damaged: its digest is %s", name, found);
}

/* Calls visit for each entry of a directory of the store. */
static int visit_all(struct check *check, const char *path,
                     void (*visit)(struct check *check, int directory, const char *name),
                     struct error *err)
{
    int fd = openat(check->store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!stream)
        return error_set(err, errno, "image store %s: can't read %s", check->store->directory,
                         path);
    while ((entry = readdir(stream)))
        if (!file_is_dots(entry->d_name))
            visit(check, fd, entry->d_name);
    return 0;
}

static void visit_blob(struct check *check, int directory, const char *name)
{
    char digest[IMAGE_DIGEST_SIZE];
    snprintf(digest, sizeof digest, "sha256:%.64s", name);
    if (strlen(name) != 64 || !reference_is_digest(digest)) {
        fault(check, "blobs/sha256/%s is no blob", name);
        return;
    }
    (void)directory;
    store_set_add(&check->blobs, name);
    if (!store_set_has(&check->held, digest))
        fault(check, "blob %s belongs to nothing (hull image prune removes it)", digest);
}

/* The names in a directory tree; -1 where it can't be read, or is deeper than can be counted. */
static int64_t count_names(int parent, const char *name, int depth)
{
    int64_t count = 0;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!stream || depth > DEPTH_MAX)
        return -1;
    while ((entry = readdir(stream))) {
        if (file_is_dots(entry->d_name))
            continue;
        count++;
        int64_t below = entry->d_type == DT_DIR ? count_names(fd, entry->d_name, depth + 1) : 0;
        if (below < 0)
            return -1;
        count += below;
    }
    return count;
}

/* What is noted of the layer, and whether it has as many names as it was given. */
static void check_layer_info(struct check *check, int directory, const char *name,
                             const char *short_chain)
{
    json_t *info = store_layer_info(check->store, short_chain);
    const char *chain = json_string_value(json_object_get(info, "chain_id"));
    const char *diff = json_string_value(json_object_get(info, "diff_id"));
    json_t *size = json_object_get(info, "size"), *names = json_object_get(info, "names");
    if (!chain || !reference_is_digest(chain) || strncmp(digest_hex(chain), name, strlen(name)) ||
        !diff || !reference_is_digest(diff) || json_integer_value(size) < 0 ||
        !json_is_integer(size)) {
        fault(check, "layer-info/%s.json is damaged", name);
    } else if (!check->quick && json_is_integer(names) && json_integer_value(names) >= 0) {
        int64_t wanted = json_integer_value(names), found = count_names(directory, name, 0);
        if (found >= 0 && found != wanted)
            fault(check, "layer %s has %lld files instead of %lld", name, (long long)found,
                  (long long)wanted);
    }
    json_decref(info);
}

static void visit_layer(struct check *check, int directory, const char *name)
{
    struct store_path path, fresh;
    struct stat status;
    char chain[IMAGE_DIGEST_SIZE];
    snprintf(chain, sizeof chain, "sha256:%.24s", name);
    path = store_layer_info_path(chain, false);
    fresh = store_layer_info_path(chain, true);
    if (store_set_has(&check->busy, name) &&
        faccessat(check->store->fd, fresh.text, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        path = fresh;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode) ||
        strlen(name) != STORE_LAYER_NAME_SIZE - 1)
        fault(check, "layers/%s is no layer", name);
    else if (faccessat(check->store->fd, path.text, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        fault(check, "layer %s isn't acknowledged (hull image prune does that)", name);
    else if (!store_set_has(&check->layers, name))
        fault(check, "layer %s belongs to nothing (hull image prune removes it)", name);
    else
        check_layer_info(check, directory, name, chain);
}

static void visit_derived(struct check *check, int directory, const char *name)
{
    char layer[STORE_LAYER_NAME_SIZE];
    (void)directory;
    snprintf(layer, sizeof layer, "%s", name);
    if (!store_set_has(&check->layers, layer))
        fault(check, "derived/%s belongs to nothing (hull image prune removes it)", name);
}

static void visit_info(struct check *check, int directory, const char *name)
{
    char path[64];
    char layer[STORE_LAYER_NAME_SIZE];
    (void)directory;
    snprintf(layer, sizeof layer, "%.24s", name);
    snprintf(path, sizeof path, "layers/%s", layer);
    /* It is noted before the layer comes into its place. */
    if (!store_set_has(&check->busy, layer) &&
        faccessat(check->store->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        fault(check, "layer-info/%s is about no layer", name);
}

static void visit_ingest(struct check *check, int directory, const char *name)
{
    scope_close int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        fault(check, "ingest/%s is left of a process that is gone", name);
}

/* A container's lease leads to an image that is there. */
static void check_keeper(struct check *check, const char *name)
{
    scope_free char *path = memory_format("leases/%s", name);
    size_t length;
    scope_free char *text = file_read_all(check->store->fd, path, LEASE_LIMIT, &length, NULL);
    json_t *lease = text ? json_loadb(text, length, 0, NULL) : NULL;
    const char *manifest = json_string_value(json_object_get(lease, "manifest"));
    if (text && (!manifest || !reference_is_digest(manifest)))
        fault(check, "lease %s is damaged (remove its container)", name);
    else if (text)
        check_manifest(check, manifest, name);
    json_decref(lease);
}

static void visit_lease(struct check *check, int directory, const char *name)
{
    struct store_set blobs = {0}, layers = {0};
    const char *chain;
    json_t *ignored;
    (void)directory;
    if (strncmp(name, "pull.", 5) == 0 && !store_lease_is_alive(check->store, name))
        fault(check, "lease %s is left of a process that is gone", name);
    else if (strncmp(name, "pull.", 5) == 0)
        store_lease_read(check->store, name, &blobs, &layers, NULL);
    else if (strncmp(name, "keep.", 5) == 0)
        check_keeper(check, name);
    json_object_foreach(layers.members, chain, ignored) add_layer_name(&check->busy, chain);
    json_decref(blobs.members);
    json_decref(layers.members);
    if (strncmp(name, "pull.", 5) != 0 && strncmp(name, "keep.", 5) != 0)
        fault(check, "leases/%s is no lease", name);
}

static void visit_unpack(struct check *check, int directory, const char *name)
{
    char lease[32] = "pull.";
    (void)directory;
    if (strncmp(name, "trash.", 6) == 0 && store_trash_is_held(check->store))
        return;
    if (sscanf(name, "pull.%16[0-9a-f].", lease + 5) != 1 ||
        !store_lease_is_alive(check->store, lease))
        fault(check, "unpack/%s is left of a process that is gone", name);
}

static int check_holders(struct check *check, struct error *err)
{
    struct store_set layers = {0};
    /* What they hold counts as known. Running pulls are left alone too. */
    int status = store_lease_roots(check->store, false, &check->held, &layers, err);
    const char *chain;
    json_t *ignored;
    json_object_foreach(layers.members, chain, ignored) add_layer_name(&check->layers, chain);
    json_decref(layers.members);
    return status;
}

static int check_locked(struct check *check, struct error *err)
{
    scope_close int lock = store_lock(check->store, STORE_LOCK_EXCLUSIVE, err);
    if (lock < 0)
        return -1;
    if (check_index(check, err) < 0 || visit_all(check, "leases", visit_lease, err) < 0 ||
        check_holders(check, err) < 0)
        return -1;
    if (visit_all(check, "blobs/sha256", visit_blob, err) < 0 ||
        visit_all(check, "layers", visit_layer, err) < 0 ||
        visit_all(check, "layer-info", visit_info, err) < 0 ||
        visit_all(check, "ingest", visit_ingest, err) < 0)
        return -1;
    /* Made with the first file. */
    if (faccessat(check->store->fd, "derived", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        visit_all(check, "derived", visit_derived, err) < 0)
        return -1;
    return visit_all(check, "unpack", visit_unpack, err);
}

int image_store_check(struct image_store *store, bool quick,
                      void (*report)(const char *fault, void *context), void *context,
                      struct error *err)
{
    struct check check = {.store = store, .quick = quick, .report = report, .context = context};
    const char *blob;
    json_t *ignored;
    int status = check_locked(&check, err);
    if (status == 0 && !quick)
        json_object_foreach(check.blobs.members, blob, ignored) check_bytes(&check, blob);
    json_decref(check.held.members);
    json_decref(check.layers.members);
    json_decref(check.busy.members);
    json_decref(check.blobs.members);
    return status < 0 ? -1 : check.faults;
}
