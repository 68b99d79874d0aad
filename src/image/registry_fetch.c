#include "image/registry_fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/digest.h"
#include "image/registry_download.h"
#include "image/registry_layers.h"
#include "image/registry_manifest.h"
#include "image/registry_referrers.h"

static const char *asked_by(const struct registry_fetch *fetch)
{
    const struct reference *reference = fetch->reference;
    return *reference->digest ? reference->digest : reference->tag;
}

static struct platform wanted_platform(const struct registry_fetch *fetch)
{
    struct platform host;
    platform_host(&host);
    return fetch->options->platform ? *fetch->options->platform : host;
}

/* Whether the store has what the registry would give, under the name asked for. 1, 0 or -1. */
static int is_there(const struct registry_fetch *fetch, const char *digest, struct error *err)
{
    scope_image struct image image = {0};
    char name[REFERENCE_TEXT_SIZE], repository[REFERENCE_TEXT_SIZE];
    struct platform wanted = wanted_platform(fetch);
    int found = image_find(fetch->store, reference_format(fetch->reference, name), &image, err);
    if (found <= 0)
        return found;
    /* Of an index, there may be another platform's image; else it is what there is. */
    bool from_index = strcmp(image.manifest_digest, digest) != 0;
    if ((fetch->options->platform || from_index) && platform_rank(&wanted, &image.platform) == 0)
        return 0;
    scope_free char *noted =
        memory_format("%s@%s", reference_format_repository(fetch->reference, repository), digest);
    for (size_t i = 0; i < image.digest_count; i++)
        if (strcmp(image.digests[i], noted) == 0)
            return 1;
    return 0;
}

/* Reads a manifest from the store where it is there, or else the registry. */
static int get_by_digest(struct registry_fetch *fetch, struct image_lease *lease,
                         const char *digest, struct registry_manifest *manifest, struct error *err)
{
    int have = image_blob_have(fetch->store, lease, digest, -1, err);
    if (have <= 0)
        return have < 0 ? -1
                        : registry_manifest_get(fetch->session, fetch->http, digest, manifest, err);
    *manifest = (struct registry_manifest){0};
    manifest->bytes =
        image_blob_read(fetch->store, digest, IMAGE_MANIFEST_LIMIT, &manifest->length, err);
    if (!manifest->bytes)
        return -1;
    strcpy(manifest->digest, digest);
    return 0;
}

/* Takes the place of an index by that of its manifests which is for our platform. */
static int choose_manifest(struct registry_fetch *fetch, struct image_lease *lease,
                           struct registry_manifest *manifest, struct error *err)
{
    struct platform wanted = wanted_platform(fetch);
    for (int depth = 0; image_type_is_index(manifest->media_type); depth++) {
        if (depth == REGISTRY_INDEX_DEPTH)
            return error_set(err, 0, "its index isn't valid: it leads from index to index");
        json_auto_t *chosen = registry_manifest_choose(manifest, &wanted, err);
        if (!chosen)
            return -1;
        const char *digest = json_string_value(json_object_get(chosen, "digest"));
        const char *type = json_string_value(json_object_get(chosen, "mediaType"));
        struct registry_manifest next;
        if (get_by_digest(fetch, lease, digest, &next, err) < 0)
            return -1;
        snprintf(next.media_type, sizeof next.media_type, "%s",
                 *next.media_type ? next.media_type
                 : type           ? type
                                  : "");
        registry_manifest_release(manifest);
        *manifest = next;
    }
    return 0;
}

/* What an image consists of, as its two documents say. */
struct parts {
    struct image_descriptor config, *layers;
    size_t layer_count, diff_count;
    char (*diff_ids)[IMAGE_DIGEST_SIZE];
};

static void release_parts(struct parts *parts)
{
    image_descriptors_free(parts->layers, parts->layer_count);
    free(parts->diff_ids);
}

/* Before any of it is fetched. */
static int refuse_artifact(const struct registry_manifest *manifest, struct error *err)
{
    char text[REFERRER_TEXT_SIZE];
    json_auto_t *document = json_loadb(manifest->bytes, manifest->length, 0, NULL);
    return referrer_is_no_image(document, text) ? error_set(err, 0, "it is no image, but %s", text)
                                                : 0;
}

static int get_config(struct registry_fetch *fetch, struct image_lease *lease,
                      const struct image_descriptor *config, struct error *err)
{
    if (config->size > IMAGE_CONFIG_LIMIT)
        return error_set(err, 0, "its configuration has %lld bytes (at most %u)",
                         (long long)config->size, IMAGE_CONFIG_LIMIT);
    int have = image_blob_have(fetch->store, lease, config->digest, config->size, err);
    if (have != 0)
        return have < 0 ? -1 : 0;
    struct registry_download download = {
        .store = fetch->store,
        .lease = lease,
        .session = fetch->session,
        .http = fetch->http,
        .descriptor = config,
    };
    int status = registry_download(&download, err);
    if (status < 0 && download.resumed && download.damaged)
        status = registry_download(&download, err);
    return status;
}

static int check_platform(const struct registry_fetch *fetch, const char *bytes, size_t length,
                          struct error *err)
{
    struct platform wanted = wanted_platform(fetch), offered;
    char text[PLATFORM_TEXT_SIZE], other[PLATFORM_TEXT_SIZE];
    json_auto_t *config = json_loadb(bytes, length, 0, NULL);
    platform_from_json(config, &offered);
    if (!*offered.architecture || platform_rank(&wanted, &offered) > 0)
        return 0;
    if (fetch->options->platform)
        return error_set(err, 0, "the image is for %s, not for %s", platform_format(&offered, text),
                         platform_format(&wanted, other));
    struct error warning = {0};
    error_set(&warning, 0, "the image is for %s, and this machine is %s",
              platform_format(&offered, text), platform_format(&wanted, other));
    warnings_say(fetch->options->warnings, &warning);
    return 0;
}

static int read_parts(struct registry_fetch *fetch, struct image_lease *lease,
                      const struct registry_manifest *manifest, struct parts *parts,
                      struct error *err)
{
    size_t length;
    if (image_manifest_parse(manifest->bytes, manifest->length, &parts->config, &parts->layers,
                             &parts->layer_count, err) < 0 ||
        refuse_artifact(manifest, err) < 0 || get_config(fetch, lease, &parts->config, err) < 0)
        return -1;
    scope_free char *config =
        image_blob_read(fetch->store, parts->config.digest, IMAGE_CONFIG_LIMIT, &length, err);
    if (!config ||
        image_config_diff_ids(config, length, &parts->diff_ids, &parts->diff_count, err) < 0)
        return -1;
    if (parts->diff_count != parts->layer_count)
        return error_set(err, 0,
                         "it isn't an image that can be run: its manifest has %zu layers, and its "
                         "configuration (%s) knows %zu",
                         parts->layer_count, parts->config.media_type, parts->diff_count);
    return check_platform(fetch, config, length, err);
}

static int get_layers(struct registry_fetch *fetch, struct image_lease *lease,
                      const struct parts *parts, struct error *err)
{
    const struct registry_layers layers = {
        .store = fetch->store,
        .lease = lease,
        .session = fetch->session,
        .layers = parts->layers,
        .diff_ids = (const char(*)[IMAGE_DIGEST_SIZE])parts->diff_ids,
        .count = parts->layer_count,
        .progress = fetch->options->progress,
    };
    return registry_layers_get(&layers, err);
}

/* Whoever may write the manifest's blob is the one who pulls: others that want the same image wait
 * for it, and then find all of it there. *claim stays NULL where the manifest is there already; it
 * is aborted once the image has been added, which writes that blob too. */
static int claim_manifest(struct registry_fetch *fetch, struct image_lease *lease,
                          const struct registry_manifest *manifest, struct image_ingest **claim,
                          struct error *err)
{
    *claim = NULL;
    int have = image_blob_have(fetch->store, lease, manifest->digest, -1, err);
    if (have != 0)
        return have < 0 ? -1 : 0;
    return image_ingest_begin(fetch->store, lease, manifest->digest, (int64_t)manifest->length,
                              NULL, claim, err) < 0
               ? -1
               : 0;
}

static int fetch_manifest(struct registry_fetch *fetch, struct image_lease *lease,
                          const struct registry_manifest *manifest, struct error *err)
{
    struct image_ingest *claim;
    struct parts parts = {0};
    if (claim_manifest(fetch, lease, manifest, &claim, err) < 0)
        return -1;
    int status = is_there(fetch, fetch->digest, err);
    fetch->up_to_date = status == 1;
    if (status == 0) {
        status = read_parts(fetch, lease, manifest, &parts, err);
        if (status == 0)
            status = get_layers(fetch, lease, &parts, err);
        if (status == 0)
            status = image_add_manifest(fetch->store, lease, manifest->bytes, manifest->length,
                                        manifest->media_type, fetch->reference, fetch->digest, NULL,
                                        err);
        release_parts(&parts);
    }
    image_ingest_abort(claim, false);
    return status < 0 ? -1 : 0;
}

int registry_fetch(struct registry_fetch *fetch, struct error *err)
{
    scope_registry_manifest struct registry_manifest manifest = {0};
    scope_image_lease struct image_lease *lease = NULL;
    const char *by = asked_by(fetch);
    fetch->up_to_date = false;
    int known = registry_manifest_ask(fetch->session, fetch->http, by, fetch->digest, err);
    int there = known == 1 ? is_there(fetch, fetch->digest, err) : known;
    if (there != 0) {
        fetch->up_to_date = there == 1;
        return there < 0 ? -1 : 0;
    }
    if (image_lease_begin(fetch->store, &lease, err) < 0 ||
        registry_manifest_get(fetch->session, fetch->http, by, &manifest, err) < 0)
        return -1;
    strcpy(fetch->digest, manifest.digest);
    if (choose_manifest(fetch, lease, &manifest, err) < 0)
        return -1;
    fetch->began = true;
    return fetch_manifest(fetch, lease, &manifest, err);
}
