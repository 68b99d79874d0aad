/* Removing images by docker's rules, and pruning. */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

void image_removal_release(struct image_removal *removal)
{
    free_strings(removal->untagged, removal->untagged_count);
    free_strings(removal->deleted, removal->deleted_count);
    *removal = (struct image_removal){0};
}

static void note_untagged(struct image_removal *removal, const char *name)
{
    struct reference reference;
    char text[REFERENCE_TEXT_SIZE];
    bool valid = reference_parse(name, &reference, NULL) == 0;
    store_removal_add(&removal->untagged, &removal->untagged_count,
                      valid ? reference_format_familiar(&reference, text) : name);
}

/* Who holds an image, among the leases of containers. */
struct holders {
    struct image_lease_holder *list;
    size_t count;
};

static const struct image_lease_holder *find_holder(const struct holders *holders, const char *id)
{
    for (size_t i = 0; i < holders->count; i++)
        if (strcmp(holders->list[i].image, id) == 0)
            return &holders->list[i];
    return NULL;
}

/* The part of a name or digest before its tag or digest. Another program may have named an image in
 * the layout in any way. */
static size_t repository_length(const char *name)
{
    const char *slash = strrchr(name, '/');
    return (size_t)(slash ? slash - name : 0) + strcspn(slash ? slash : name, ":@");
}

static bool is_same_repository(const char *name, const char *other)
{
    size_t length = repository_length(name);
    return repository_length(other) == length && memcmp(name, other, length) == 0;
}

static bool has_several_repositories(const struct image *image)
{
    for (size_t i = 1; i < image->name_count; i++)
        if (!is_same_repository(image->names[i], image->names[0]))
            return true;
    return false;
}

/* Takes out every element of the images with these ids; there may be several manifests of one. */
static void drop_elements(struct image_store *store, json_t *index, const struct store_set *ids)
{
    json_t *manifests = json_object_get(index, "manifests");
    for (size_t i = json_array_size(manifests); i-- > 0;) {
        scope_image struct image image = {0};
        const char *digest = store_index_digest(json_array_get(manifests, i));
        if (store_image_read_manifest(store, digest, &image, NULL) == 0 &&
            store_set_has(ids, image.id))
            json_array_remove(manifests, i);
    }
}

static int check_holder(const struct image *image, const struct holders *holders, bool force,
                        const char *text, struct error *err)
{
    const struct image_lease_holder *holder = find_holder(holders, image->id);
    if (!holder || force)
        return 0;
    return error_set(err, 0,
                     "image %s is used by container %s (%.12s); remove the container first, or "
                     "force it with -f",
                     text, holder->label, holder->owner);
}

/* One of several names goes, and with the last in a repository its digests. */
static void untag(json_t *index, const struct image *image, const char *name,
                  struct image_removal *removal)
{
    note_untagged(removal, name);
    store_index_untag(index, name);
    for (size_t i = 0; i < image->name_count; i++)
        if (strcmp(image->names[i], name) != 0 && is_same_repository(image->names[i], name))
            return;
    for (size_t i = 0; i < image->digest_count; i++)
        if (is_same_repository(image->digests[i], name) &&
            store_index_forget_digest(index, image->digests[i]))
            note_untagged(removal, image->digests[i]);
}

/* 1: "repository@digest" was one of several names; it is gone. */
static int remove_digest(json_t *index, const struct image *image,
                         const struct reference *reference, struct image_removal *removal,
                         struct error *err)
{
    char repository[REFERENCE_TEXT_SIZE];
    if (image->name_count == 0 && image->digest_count <= 1)
        return 0;
    scope_free char *name = memory_format(
        "%s@%s", reference_format_repository(reference, repository), reference->digest);
    if (!store_index_forget_digest(index, name))
        return error_set(err, 0, "image %s has other names (remove it by those)", name);
    note_untagged(removal, name);
    return 1;
}

/* Takes names off, and the image out with the last. */
static int remove_from_index(struct image_store *store, json_t *index, const struct image *image,
                             const char *text, bool by_name, bool force,
                             const struct holders *holders, struct image_removal *removal,
                             struct error *err)
{
    const char *name = NULL;
    struct reference reference;
    char formatted[REFERENCE_TEXT_SIZE];
    if (by_name) {
        name = text;
        bool valid = reference_parse(text, &reference, NULL) == 0;
        int done =
            valid && *reference.digest ? remove_digest(index, image, &reference, removal, err) : 0;
        if (done != 0)
            return done < 0 ? -1 : 0;
        if (valid) {
            reference_default_tag(&reference);
            name = reference_format(&reference, formatted);
        }
        if (!store_index_find(index, name))
            name = store_index_find(index, text) ? text : NULL;
    }
    if (name && image->name_count > 1) {
        untag(index, image, name, removal);
        return 0;
    }
    if (!by_name && has_several_repositories(image) && !force)
        return error_set(err, 0,
                         "image %s has names in several repositories (remove them by name, or "
                         "force it with -f)",
                         text);
    if (check_holder(image, holders, force, text, err) < 0)
        return -1;
    for (size_t i = 0; i < image->name_count; i++)
        note_untagged(removal, image->names[i]);
    for (size_t i = 0; i < image->digest_count; i++)
        note_untagged(removal, image->digests[i]);
    struct store_set ids = {0};
    store_set_add(&ids, image->id);
    drop_elements(store, index, &ids);
    json_decref(ids.members);
    /* What a container holds stays until its lease ends. */
    if (!find_holder(holders, image->id))
        store_removal_add(&removal->deleted, &removal->deleted_count, image->id);
    return 0;
}

/* An image whose documents are damaged can still be removed by its name. */
static int remove_damaged(json_t *index, const json_t *element, struct image_removal *removal)
{
    scope_free char *digest = memory_copy_string(store_index_digest(element));
    if (*store_index_name(element))
        note_untagged(removal, store_index_name(element));
    store_removal_add(&removal->deleted, &removal->deleted_count, digest);
    store_index_drop(index, digest);
    return 0;
}

static int remove_locked(struct image_store *store, json_t *index, const char *text, bool force,
                         const struct holders *holders, struct image_removal *removal,
                         struct error *err)
{
    const json_t *element = NULL;
    bool by_name;
    scope_image struct image image = {0};
    int found = store_find_element(store, index, text, &element, &by_name, err);
    if (found < 0)
        return -1;
    if (!found)
        return error_set(err, 0, "no such image: %s (see 'hull images')", text);
    int status =
        store_image_read(store, index, element, &image, NULL) < 0
            ? remove_damaged(index, element, removal)
            : remove_from_index(store, index, &image, text, by_name, force, holders, removal, err);
    if (status < 0 || store_index_write(store, index, err) < 0)
        return -1;
    return store_collect(store, index, false, removal, err);
}

int image_remove(struct image_store *store, const char *text, bool force,
                 struct image_removal *removal, struct error *err)
{
    int status = -1;
    struct holders holders = {0};
    scope_close int trash = -1;
    {
        scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
        trash = lock < 0 ? -1 : store_hold_trash(store);
        json_t *index = lock < 0 ? NULL : store_index_read(store, err);
        if (index && image_lease_list(store, &holders.list, &holders.count, err) == 0)
            status = remove_locked(store, index, text, force, &holders, removal, err);
        json_decref(index);
    }
    image_lease_holders_free(holders.list, holders.count);
    if (status < 0 || store_empty_trash(store, err) < 0)
        return -1;
    store_make_reserve(store);
    return 0;
}

/* held: the blobs of leases, of running processes too: an image that is being loaded is entered
 * before it is named. */
static void prune_images(struct image_store *store, json_t *index,
                         const struct image_prune_options *options, const struct store_set *held,
                         struct image_removal *removal)
{
    scope_image_list struct image_list list = {0};
    struct store_set ids = {0};
    store_index_list(store, index, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct image *image = &list.images[i];
        if ((image->name_count && !options->all) || store_set_has(held, image->manifest_digest) ||
            (options->wanted && !options->wanted(image, options->context)))
            continue;
        for (size_t j = 0; j < image->name_count; j++)
            note_untagged(removal, image->names[j]);
        for (size_t j = 0; j < image->digest_count; j++)
            note_untagged(removal, image->digests[j]);
        store_removal_add(&removal->deleted, &removal->deleted_count, image->id);
        store_set_add(&ids, image->id);
    }
    drop_elements(store, index, &ids);
    json_decref(ids.members);
}

static int prune_locked(struct image_store *store, json_t *index,
                        const struct image_prune_options *options, struct image_removal *removal,
                        struct error *err)
{
    size_t before = removal->deleted_count;
    struct store_set held = {0}, layers = {0};
    int status = options ? store_lease_roots(store, false, &held, &layers, err) : 0;
    if (options && status == 0)
        prune_images(store, index, options, &held, removal);
    json_decref(held.members);
    json_decref(layers.members);
    if (status < 0)
        return -1;
    if (removal->deleted_count > before && store_index_write(store, index, err) < 0)
        return -1;
    if (store_collect(store, index, true, removal, err) < 0)
        return -1;
    return store_layers_settle_all(store, err);
}

int image_prune(struct image_store *store, const struct image_prune_options *options,
                struct image_removal *removal, struct error *err)
{
    int status = -1;
    scope_close int trash = -1;
    {
        scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
        trash = lock < 0 ? -1 : store_hold_trash(store);
        json_t *index = lock < 0 ? NULL : store_index_read(store, err);
        if (index)
            status = prune_locked(store, index, options, removal, err);
        json_decref(index);
    }
    if (status < 0 || store_empty_trash(store, err) < 0)
        return -1;
    store_make_reserve(store);
    return 0;
}
