#include "image/registry_discover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/registry_manifest.h"
#include "image/registry_pull.h"
#include "image/registry_referrers.h"

static const char *asked_by(const struct reference *reference)
{
    return *reference->digest ? reference->digest : reference->tag;
}

/* Through indexes, to the manifest for one platform. */
static int find_platform(struct registry_session *session, struct registry_http *http,
                         const struct reference *reference, const struct platform *wanted,
                         char digest[IMAGE_DIGEST_SIZE], struct error *err)
{
    scope_registry_manifest struct registry_manifest manifest = {0};
    if (registry_manifest_get(session, http, asked_by(reference), &manifest, err) < 0)
        return -1;
    for (int depth = 0; image_type_is_index(manifest.media_type); depth++) {
        json_auto_t *chosen = registry_manifest_choose(&manifest, wanted, err);
        if (!chosen)
            return -1;
        if (depth == REGISTRY_INDEX_DEPTH)
            return error_set(err, 0, "its index isn't valid: it leads from index to index");
        registry_manifest_release(&manifest);
        if (registry_manifest_get(session, http,
                                  json_string_value(json_object_get(chosen, "digest")), &manifest,
                                  err) < 0)
            return -1;
    }
    strcpy(digest, manifest.digest);
    return 0;
}

/* The digest that is referred to. That of a name with a digest may be of what isn't there any more,
 * or not yet. */
static int find_subject(struct registry_session *session, struct registry_http *http,
                        const struct reference *reference, const struct platform *platform,
                        char digest[IMAGE_DIGEST_SIZE], struct error *err)
{
    scope_registry_manifest struct registry_manifest manifest = {0};
    strcpy(digest, reference->digest);
    if (platform)
        return find_platform(session, http, reference, platform, digest, err);
    if (*digest)
        return 0;
    int known = registry_manifest_ask(session, http, reference->tag, digest, err);
    if (known != 0)
        return known < 0 ? -1 : 0;
    if (registry_manifest_get(session, http, reference->tag, &manifest, err) < 0)
        return -1;
    strcpy(digest, manifest.digest);
    return 0;
}

/* Of the registry itself: mirrors keep images, and seldom what refers to them. */
static int list_at(const struct registry_config *config, const struct reference *reference,
                   const struct registry_referrers_options *options, struct referrers *referrers,
                   struct error *err)
{
    scope_registry_http struct registry_http http = {0};
    scope_registry_session struct registry_session session = {0};
    char digest[IMAGE_DIGEST_SIZE], unused[IMAGE_DIGEST_SIZE];
    if (registry_session_open(&session, config, reference->domain, reference->path, "pull",
                              options->warnings, &http, err) < 0 ||
        find_subject(&session, &http, reference, options->platform, digest, err) < 0 ||
        registry_referrers_get(&session, &http, digest, options->artifact_type, referrers, err) < 0)
        return -1;
    /* Nothing may be said of a digest because nothing has it. */
    if (referrers->count == 0 && *reference->digest &&
        registry_manifest_ask(&session, &http, reference->digest, unused, err) < 0)
        return -1;
    return 0;
}

int registry_client_referrers(const char *name, const struct registry_referrers_options *options,
                              struct referrers *referrers, struct error *err)
{
    scope_registry_config struct registry_config config;
    scope_free struct reference *candidates = NULL;
    char text[REFERENCE_TEXT_SIZE];
    size_t count = 0;
    *referrers = (struct referrers){0};
    if (registry_config_load(&config, err) < 0 ||
        registry_candidates(&config, name, &candidates, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct error failed = {0};
        referrers_release(referrers);
        if (list_at(&config, &candidates[i], options, referrers, &failed) == 0)
            return 0;
        error_wrap(&failed, "%s", reference_format(&candidates[i], text));
        if (err)
            *err = failed;
        /* As a pull: only one that hasn't the image is passed over. */
        if (failed.code != ENOENT && failed.code != EACCES)
            break;
    }
    return -1;
}
