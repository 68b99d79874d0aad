#include "image/registry_pull.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "image/registry_fetch.h"
#include "image/registry_manifest.h"

struct pull {
    struct image_store *store;
    const struct registry_config *config;
    const struct registry_pull_options *options;
    bool announced; /* "Pulling from" was said */
    bool began;     /* something may have been written */
    size_t newer;   /* images that weren't there */
};

__attribute__((format(printf, 2, 3))) static void say(const struct pull *pull, const char *format,
                                                      ...)
{
    va_list args;
    scope_free char *line = NULL;
    if (!pull->options->say)
        return;
    va_start(args, format);
    int length = vasprintf(&line, format, args);
    va_end(args);
    if (length >= 0)
        pull->options->say(pull->options->context, line);
}

static void warn(const struct pull *pull, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void warn(const struct pull *pull, const char *format, ...)
{
    struct error warning = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(warning.text, sizeof warning.text, format, args);
    va_end(args);
    warnings_say(pull->options->warnings, &warning);
}

/* The path as docker shows it: without the registry. */
static void announce(struct pull *pull, const struct reference *reference)
{
    char repository[REFERENCE_TEXT_SIZE];
    if (pull->announced)
        return;
    pull->announced = true;
    bool usual = strcmp(reference->domain, REFERENCE_DEFAULT_DOMAIN) == 0;
    reference_format_repository(reference, repository);
    say(pull, "%s: Pulling from %s", *reference->digest ? reference->digest : reference->tag,
        usual ? reference->path : repository + strlen(reference->domain) + 1);
}

static int pull_one(struct pull *pull, struct registry_session *session, struct registry_http *http,
                    const struct reference *reference, struct error *err)
{
    struct registry_fetch fetch = {
        .store = pull->store,
        .options = pull->options,
        .session = session,
        .http = http,
        .reference = reference,
    };
    announce(pull, reference);
    int status = registry_fetch(&fetch, err);
    pull->began = pull->began || fetch.began;
    if (status < 0)
        return -1;
    say(pull, "Digest: %s", fetch.digest);
    pull->newer += !fetch.up_to_date;
    pull->announced = false;
    return 0;
}

static int pull_all_tags(struct pull *pull, struct registry_session *session,
                         struct registry_http *http, const struct reference *repository,
                         struct error *err)
{
    char **tags;
    size_t count;
    char name[REFERENCE_TEXT_SIZE];
    reference_format_repository(repository, name);
    if (registry_tags_get(session, http, &tags, &count, err) < 0)
        return -1;
    int status = count ? 0 : error_set(err, ENOENT, "the repository has no tags");
    for (size_t i = 0; i < count && status == 0; i++) {
        struct reference reference;
        scope_free char *text = memory_format("%s:%s", name, tags[i]);
        if (reference_parse(text, &reference, NULL) < 0 || strcmp(reference.tag, tags[i]) != 0) {
            warn(pull, "%s has a tag that none can have; passed over", name);
            continue;
        }
        status = pull_one(pull, session, http, &reference, err);
        if (status < 0)
            error_wrap(err, "tag %s", tags[i]);
    }
    registry_tags_free(tags, count);
    return status;
}

static int pull_from(struct pull *pull, const char *endpoint, const struct reference *reference,
                     struct error *err)
{
    scope_registry_http struct registry_http http = {0};
    scope_registry_session struct registry_session session = {0};
    if (registry_session_open(&session, pull->config, endpoint, reference->path, "pull",
                              pull->options->warnings, &http, err) < 0)
        return -1;
    if (pull->options->all_tags)
        return pull_all_tags(pull, &session, &http, reference, err);
    return pull_one(pull, &session, &http, reference, err);
}

/* Faults of this machine, which another registry wouldn't cure. */
static bool is_ours(const struct error *err)
{
    return err->code == ENOSPC || err->code == EDQUOT || err->code == EROFS ||
           err->code == ECANCELED;
}

/* From its mirrors, in their order, or from itself. */
static int pull_reference(struct pull *pull, const struct reference *reference, struct error *err)
{
    const struct registry_config_host *known =
        registry_config_find(pull->config, reference->domain);
    for (size_t i = 0; known && i < known->mirror_count; i++) {
        struct error failed = {0};
        if (pull_from(pull, known->mirrors[i], reference, &failed) == 0)
            return 0;
        if (is_ours(&failed)) {
            if (err)
                *err = failed;
            return -1;
        }
        warn(pull, "mirror %s: %s", known->mirrors[i], failed.text);
    }
    return pull_from(pull, reference->domain, reference, err);
}

/* What a failed pull leaves: of a connection or registry that broke the blobs, to go on with; else
 * only what others hold, so that an image that isn't there costs no disk. */
static void clean_after_failure(struct pull *pull, int code)
{
    static const int temporary[] = {ECONNRESET, ETIMEDOUT, ECONNREFUSED, ECANCELED, EAGAIN};
    scope_image_removal struct image_removal removal = {0};
    struct error err = {0};
    for (size_t i = 0; i < sizeof temporary / sizeof *temporary; i++)
        if (code == temporary[i])
            return;
    if (image_prune(pull->store, NULL, &removal, &err) < 0)
        warn(pull, "what is left of the pull isn't removed: %s", err.text);
}

/* docker's last lines. */
static void report(struct pull *pull, const struct reference *reference)
{
    char text[REFERENCE_TEXT_SIZE];
    say(pull, "Status: %s for %s", pull->newer ? "Downloaded newer image" : "Image is up to date",
        pull->options->all_tags ? reference_format_familiar_repository(reference, text)
                                : reference_format_familiar(reference, text));
}

/* The first registry that has it. One that can't be reached isn't passed over: the next may have
 * something else under that name. */
static int pull_candidates(struct pull *pull, const struct reference *candidates, size_t count,
                           const struct reference **pulled, struct error *err)
{
    char text[REFERENCE_TEXT_SIZE];
    for (size_t i = 0; i < count; i++) {
        struct error failed = {0};
        *pulled = &candidates[i];
        pull->announced = false;
        if (pull_reference(pull, &candidates[i], &failed) == 0)
            return 0;
        if (pull->began)
            clean_after_failure(pull, failed.code);
        reference_format(&candidates[i], text);
        bool absent = failed.code == ENOENT || failed.code == EACCES;
        if (absent && i + 1 < count) {
            warn(pull, "%s: %s", text, failed.text);
            continue;
        }
        if (err) {
            *err = failed;
            error_wrap(err, "%s", text);
        }
        break;
    }
    return -1;
}

int registry_candidates(const struct registry_config *config, const char *name,
                        struct reference **candidates, size_t *count, struct error *err)
{
    const struct reference_search search = {.domains = config->search};
    if (reference_candidates(name, &search, candidates, count, err) < 0)
        return -1;
    if (*count == 0)
        return error_set(err, 0, "%s: no registry is configured for short names (%s)", name,
                         config->path);
    for (size_t i = 0; i < *count; i++)
        if (*(*candidates)[i].digest)
            *(*candidates)[i].tag = '\0';
    return 0;
}

static int find_candidates(const struct registry_config *config, const char *name, bool all_tags,
                           struct reference **candidates, size_t *count, struct error *err)
{
    struct reference reference;
    if (reference_parse(name, &reference, err) < 0)
        return -1;
    if (all_tags && (*reference.tag || *reference.digest))
        return error_set(err, 0, "%s: all tags are asked for, and one is given", name);
    if (registry_candidates(config, name, candidates, count, err) < 0)
        return -1;
    for (size_t i = 0; all_tags && i < *count; i++)
        *(*candidates)[i].tag = '\0';
    return 0;
}

int registry_client_pull(struct image_store *store, const char *name,
                         const struct registry_pull_options *options, struct image *image,
                         struct error *err)
{
    scope_registry_config struct registry_config config;
    struct reference *candidates = NULL;
    const struct reference *pulled = NULL;
    size_t count = 0;
    char text[REFERENCE_TEXT_SIZE];
    struct pull pull = {.store = store, .config = &config, .options = options};
    if (registry_config_load(&config, err) < 0 ||
        find_candidates(&config, name, options->all_tags, &candidates, &count, err) < 0)
        return -1;
    int status = image_store_tidy(store, err);
    if (status == 0)
        status = pull_candidates(&pull, candidates, count, &pulled, err);
    if (status == 0) {
        report(&pull, pulled);
        if (options->pulled)
            *options->pulled = *pulled;
        if (image && !options->all_tags) {
            int found = image_find(store, reference_format(pulled, text), image, err);
            status =
                found == 0 ? error_set(err, 0, "%s was just removed", text) : (found == 1 ? 0 : -1);
        }
    }
    free(candidates);
    return status;
}
