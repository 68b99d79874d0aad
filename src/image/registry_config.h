/* How registries are reached, as the machine's owner configured it: /etc/hull/registries.json, or
 * the file that $HULL_REGISTRIES names. No file means the defaults; docs/images.md describes the
 * keys. Needs no libcurl, so that names can be resolved without loading the registry client. */
#ifndef HULL_IMAGE_REGISTRY_CONFIG_H
#define HULL_IMAGE_REGISTRY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/memory.h"

struct registry_config_host {
    const char *name; /* "registry.example:5000" */
    bool insecure;    /* plain http and unverifiable certificates will do */
    const char **mirrors;
    size_t mirror_count;
};

struct registry_config {
    const char *path;
    const char **search; /* where a short name is looked for, in this order; ends with NULL */
    size_t search_count;
    struct registry_config_host *hosts;
    size_t host_count;
    const char **certificates; /* directories that hold HOST/ca.crt and the like */
    size_t certificate_count;
    int attempts;         /* of a request, or of a download that doesn't get on */
    double delay_seconds; /* before the second attempt; doubles with each */
    long connect_seconds, stall_seconds;
    int parallel; /* blobs at a time */
    struct arena arena;
};

/* Reads the file into *config; release it whatever this returns. */
int registry_config_load(struct registry_config *config, struct error *err);
void registry_config_release(struct registry_config *config);
#define scope_registry_config __attribute__((cleanup(registry_config_release)))

/* What is configured for a registry, or NULL. */
const struct registry_config_host *registry_config_find(const struct registry_config *config,
                                                        const char *host);

/* Whether an authority ("localhost:5000", "[::1]:5000", "127.1.2.3") is this machine's. */
bool registry_host_is_loopback(const char *authority);

#endif
