/* The registry client, as the verbs and the engine see it. It is a shared module, because linking
 * libcurl would cost every start of hull tens of milliseconds: registry_module_load() loads it for
 * the verbs that talk to registries. */
#ifndef HULL_IMAGE_REGISTRY_H
#define HULL_IMAGE_REGISTRY_H

#include "base/error.h"
#include "base/warning.h"
#include "image/image.h"
#include "image/referrers.h"
#include "image/registry_credentials.h"

struct registry_pull_options {
    const struct platform *platform;       /* NULL: this machine's */
    bool all_tags;                         /* of the repository; the name has no tag then */
    const struct image_progress *progress; /* may be NULL */
    const struct warnings *warnings;       /* may be NULL */
    /* docker's lines, "latest: Pulling from library/busybox", while no layer is under way; may be
     * NULL. */
    void (*say)(void *context, const char *line);
    void *context;
    struct reference *pulled; /* set to what the name meant; may be NULL */
};

struct registry_push_options {
    bool all_tags;                   /* all names that the store has in the repository */
    const struct platform *platform; /* of an image for several only this; NULL: all of them */
    /* NONE: as the layers are, those that aren't compressed with gzip. */
    enum image_compression compression;
    const struct image_progress *progress;
    const struct warnings *warnings;
    void (*say)(void *context, const char *line);
    void *context;
};

struct registry_referrers_options {
    const char *artifact_type; /* only of this type; NULL: of any */
    /* To what an index has for this one; NULL: to what the name means, so to an index itself. */
    const struct platform *platform;
    const struct warnings *warnings;
};

/* The module's only symbol is a constant of this type, called hull_registry_operations. Hosts are
 * "docker.io", "registry.example:5000". */
struct registry_operations {
    const char *version; /* HULL_VERSION of its build: first, so that any two builds can compare */

    /* As registry_credentials_find() and registry_credentials_release(). */
    int (*find_credentials)(const char *host, struct registry_credentials *credentials,
                            struct error *err);
    void (*release_credentials)(struct registry_credentials *credentials);

    /* Tries a user and secret, and keeps them if the registry takes them (or, instead of the
     * secret, the refresh token that it gives). -1 with err->code EACCES if it refuses them.
     * *plain_path as of registry_credentials_store(). */
    int (*login)(const char *host, struct registry_credentials *credentials, char **plain_path,
                 struct error *err);

    /* Forgets: 1 if something was kept, 0 if not, -1 on error. */
    int (*logout)(const char *host, struct error *err);

    /* As registry_pull() and registry_push(). */
    int (*pull)(struct image_store *store, const char *name,
                const struct registry_pull_options *options, struct image *image,
                struct error *err);
    int (*push)(struct image_store *store, const char *name,
                const struct registry_push_options *options, struct error *err);
    /* As registry_referrers(). */
    int (*referrers)(const char *name, const struct registry_referrers_options *options,
                     struct referrers *referrers, struct error *err);
    /* As registry_fetch_file(). */
    int (*fetch_file)(const char *url, int fd, int64_t limit, const struct image_progress *progress,
                      struct error *err);
};

/* The host that an argument of login and logout means: without scheme and path, in lower case,
 * docker.io by any of its names. The caller frees; NULL if it is none. Needs no module. */
char *registry_parse_host(const char *text, struct error *err);

/* Loads the module from beside the program, or from where it is installed. NULL on error. It stays
 * loaded. */
const struct registry_operations *registry_module_load(struct error *err);

/* Pulls what name means to a user ("busybox", "localhost:5000/a:1", "name@sha256:…"): a short name
 * is looked for at the registries that are configured, in their order. What is in the store already
 * isn't fetched again. image, unless NULL, is released by the caller. Loads the module. err->code
 * is ENOENT if there is no such image, EACCES if it isn't for us, ENOSPC if the disk is full. */
int registry_pull(struct image_store *store, const char *name,
                  const struct registry_pull_options *options, struct image *image,
                  struct error *err);

/* Pushes the image of that name to the registry that it names. */
int registry_push(struct image_store *store, const char *name,
                  const struct registry_push_options *options, struct error *err);

/* What refers to what the registry has under a name, which means the same as for a pull. What the
 * list says is the registry's word. Release it whatever this returns. err->code is ENOENT if there
 * is no such image, EACCES if it isn't for us. */
int registry_referrers(const char *name, const struct registry_referrers_options *options,
                       struct referrers *referrers, struct error *err);

/* Fetches what a URL (http or https) names into an empty file, which is at its beginning again when
 * this returns 0. More than limit bytes are an error. */
int registry_fetch_file(const char *url, int fd, int64_t limit,
                        const struct image_progress *progress, struct error *err);

enum registry_policy {
    REGISTRY_POLICY_MISSING, /* pull what isn't in the store */
    REGISTRY_POLICY_ALWAYS,
    REGISTRY_POLICY_NEVER,
};
/* The image that `run` and `create` start from: found in the store (an id too, and the default
 * image is made), or pulled, as the policy says. missing, unless NULL, is told the name before it
 * is pulled because it wasn't there. Without a pull, no module is loaded. */
int registry_obtain(struct image_store *store, const char *name, enum registry_policy policy,
                    const struct registry_pull_options *options,
                    void (*missing)(void *context, const char *name), struct image *image,
                    struct error *err);

#endif
