#include "image/members.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/store.h"

#define MEMBERS_MAX 1000
#define DEPTH_MAX 3

static bool is_here(struct image_store *store, const char *digest, int64_t size)
{
    struct stat status;
    return fstatat(store->fd, store_blob_path(digest).text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           (size < 0 || status.st_size == size);
}

static bool is_listed(const struct image_members *members, const char *digest)
{
    for (size_t i = 0; i < members->count; i++)
        if (strcmp(members->items[i].digest, digest) == 0)
            return true;
    return false;
}

static int add(struct image_members *members, const struct image_member *member, struct error *err)
{
    if (members->count >= MEMBERS_MAX)
        return error_set(err, 0, "the image's index leads to more than %d manifests", MEMBERS_MAX);
    members->items = memory_resize(members->items, members->count + 1, sizeof *members->items);
    members->items[members->count++] = *member;
    return 0;
}

static int add_manifest(struct image_store *store, struct image_members *members,
                        struct image_member *member, struct error *err)
{
    struct image_descriptor config, *layers;
    size_t length, count;
    scope_free char *bytes =
        image_blob_read(store, member->digest, IMAGE_MANIFEST_LIMIT, &length, err);
    if (!bytes || image_manifest_parse(bytes, length, &config, &layers, &count, err) < 0)
        return -1;
    member->blobs = memory_resize(layers, count + 1, sizeof *layers);
    member->blobs[count] = config;
    member->blob_count = count + 1;
    member->is_here = true;
    for (size_t i = 0; i <= count; i++)
        if (!member->blobs[i].urls &&
            !is_here(store, member->blobs[i].digest, member->blobs[i].size))
            member->is_here = false;
    if (add(members, member, err) == 0)
        return 0;
    image_descriptors_free(member->blobs, member->blob_count);
    return -1;
}

/* An index, or a list, that was read; NULL with the error. */
static json_t *read_index(struct image_store *store, const char *digest, struct error *err)
{
    size_t length;
    json_error_t reason;
    scope_free char *text = image_blob_read(store, digest, IMAGE_MANIFEST_LIMIT, &length, err);
    json_t *index = text ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason) : NULL;
    if (text && !json_is_array(json_object_get(index, "manifests"))) {
        error_set(err, 0, "the image's index %s isn't valid: %s", digest,
                  index ? "it has no manifests" : reason.text);
        json_decref(index);
        return NULL;
    }
    return index;
}

static int add_index(struct image_store *store, struct image_members *members,
                     struct image_member *member, int depth, struct error *err);

static int add_descriptor(struct image_store *store, struct image_members *members,
                          const json_t *descriptor, int depth, struct error *err)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
    struct image_member member = {0};
    if (!digest || !reference_is_digest(digest))
        return error_set(err, 0, "the image's index isn't valid: an element has no sha256 digest");
    if (is_listed(members, digest))
        return 0;
    strcpy(member.digest, digest);
    snprintf(member.media_type, sizeof member.media_type, "%s",
             type ? type : IMAGE_TYPE_OCI_MANIFEST);
    platform_from_json(json_object_get(descriptor, "platform"), &member.platform);
    member.is_index = image_type_is_index(member.media_type);
    if (!is_here(store, digest, -1))
        return add(members, &member, err);
    return member.is_index ? add_index(store, members, &member, depth, err)
                           : add_manifest(store, members, &member, err);
}

static int add_index(struct image_store *store, struct image_members *members,
                     struct image_member *member, int depth, struct error *err)
{
    json_t *descriptor;
    size_t i;
    if (depth >= DEPTH_MAX)
        return error_set(err, 0, "the image's indexes are nested too deep");
    json_t *index = read_index(store, member->digest, err);
    if (!index)
        return -1;
    const char *type = json_string_value(json_object_get(index, "mediaType"));
    if (!*member->media_type)
        snprintf(member->media_type, sizeof member->media_type, "%s",
                 type ? type : IMAGE_TYPE_OCI_INDEX);
    int status = 0;
    json_array_foreach(json_object_get(index, "manifests"), i, descriptor)
    {
        if (status == 0)
            status = add_descriptor(store, members, descriptor, depth + 1, err);
    }
    json_decref(index);
    member->is_here = true;
    return status < 0 ? -1 : add(members, member, err);
}

int image_members_read(struct image_store *store, const char *index, struct image_members *members,
                       struct error *err)
{
    struct image_member member = {.is_index = true};
    *members = (struct image_members){0};
    snprintf(member.digest, sizeof member.digest, "%s", index);
    return add_index(store, members, &member, 0, err);
}

void image_members_release(struct image_members *members)
{
    for (size_t i = 0; i < members->count; i++)
        image_descriptors_free(members->items[i].blobs, members->items[i].blob_count);
    free(members->items);
    *members = (struct image_members){0};
}

const struct image_member *image_members_select(struct image_store *store, const char *index,
                                                const struct image_members *members,
                                                const struct platform *platform, struct error *err)
{
    char digest[IMAGE_DIGEST_SIZE];
    snprintf(digest, sizeof digest, "%s", index);
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        json_t *document = read_index(store, digest, err);
        json_t *chosen =
            document ? platform_select(json_object_get(document, "manifests"), platform, err)
                     : NULL;
        const char *text = json_string_value(json_object_get(chosen, "digest"));
        snprintf(digest, sizeof digest, "%s", text ? text : "");
        bool was_found = chosen != NULL;
        json_decref(document);
        if (!was_found)
            return NULL;
        for (size_t i = 0; i < members->count; i++)
            if (strcmp(members->items[i].digest, digest) == 0 && !members->items[i].is_index)
                return &members->items[i];
    }
    error_set(err, 0, "the image's indexes are nested too deep");
    return NULL;
}
