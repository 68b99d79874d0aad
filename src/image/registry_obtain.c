/* What registries are asked for by those who aren't linked with the client. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/registry.h"
#include "image/registry_config.h"

int registry_pull(struct image_store *store, const char *name,
                  const struct registry_pull_options *options, struct image *image,
                  struct error *err)
{
    const struct registry_operations *registry = registry_module_load(err);
    return registry ? registry->pull(store, name, options, image, err) : -1;
}

int registry_push(struct image_store *store, const char *name,
                  const struct registry_push_options *options, struct error *err)
{
    const struct registry_operations *registry = registry_module_load(err);
    return registry ? registry->push(store, name, options, err) : -1;
}

int registry_referrers(const char *name, const struct registry_referrers_options *options,
                       struct referrers *referrers, struct error *err)
{
    const struct registry_operations *registry = registry_module_load(err);
    *referrers = (struct referrers){0};
    return registry ? registry->referrers(name, options, referrers, err) : -1;
}

int registry_fetch_file(const char *url, int fd, int64_t limit,
                        const struct image_progress *progress, struct error *err)
{
    const struct registry_operations *registry = registry_module_load(err);
    return registry ? registry->fetch_file(url, fd, limit, progress, err) : -1;
}

/* Under the names that a pull would give it, for short ones that aren't docker.io's. */
static int find_candidate(struct image_store *store, const char *name, struct image *image,
                          struct error *err)
{
    scope_registry_config struct registry_config config;
    struct reference *candidates = NULL;
    size_t count = 0;
    int found = 0;
    if (registry_config_load(&config, err) < 0)
        return -1;
    const struct reference_search search = {.domains = config.search};
    if (reference_candidates(name, &search, &candidates, &count, NULL) < 0)
        return 0; /* no name: an id that isn't there */
    for (size_t i = 0; i < count && found == 0; i++) {
        char text[REFERENCE_TEXT_SIZE];
        found = image_find(store, reference_format(&candidates[i], text), image, err);
    }
    free(candidates);
    return found;
}

/* 1, 0 or -1. */
static int find(struct image_store *store, const char *name, const struct platform *platform,
                struct image *image, struct error *err)
{
    struct reference reference;
    int found = image_find(store, name, image, err);
    if (found == 0)
        found = find_candidate(store, name, image, err);
    if (found == 0 && !platform && reference_parse(name, &reference, NULL) == 0 &&
        image_is_default(&reference))
        found = image_make_default(store, image, err);
    if (found == 1 && platform && platform_rank(platform, &image->platform) == 0) {
        image_release(image);
        return 0;
    }
    return found;
}

int registry_obtain(struct image_store *store, const char *name, enum registry_policy policy,
                    const struct registry_pull_options *options,
                    void (*missing)(void *context, const char *name), struct image *image,
                    struct error *err)
{
    struct reference reference;
    *image = (struct image){0};
    if (policy != REGISTRY_POLICY_ALWAYS) {
        int found = find(store, name, options->platform, image, err);
        if (found != 0)
            return found < 0 ? -1 : 0;
    }
    if (reference_parse(name, &reference, err) < 0)
        return -1;
    if (policy == REGISTRY_POLICY_NEVER)
        return error_set(err, 0, "no such image: %s (see 'hull images' and 'hull pull')", name);
    if (policy == REGISTRY_POLICY_MISSING && missing)
        missing(options->context, name);
    return registry_pull(store, name, options, image, err);
}
