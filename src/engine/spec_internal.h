/* What the parts of the spec generator share. */
#ifndef HULL_ENGINE_SPEC_INTERNAL_H
#define HULL_ENGINE_SPEC_INTERNAL_H

#include <stdint.h>

#include "engine/settings_internal.h"
#include "engine/spec.h"

struct spec {
    const struct spec_input *input;
    const json_t *settings;
    const json_t *host; /* "HostConfig" */
    bool privileged;
    json_t *config;  /* what is made */
    json_t *process; /* parts of it, borrowed */
    json_t *linux_section;
    json_t *capabilities; /* names; owned by process.capabilities */
    struct error *err;
};

/* The member called key of object, which becomes an empty one if it isn't there; borrowed. */
json_t *spec_list(json_t *object, const char *key);
json_t *spec_map(json_t *object, const char *key);
/* A NULL-terminated list of texts as JSON. */
json_t *spec_texts(const char *const *texts);

/* The value of `--security-opt NAME=VALUE` (or NAME:VALUE), the last one given; "" for NAME alone;
 * NULL if there is none. */
const char *spec_security_option(const struct spec *spec, const char *name);

int spec_add_mounts(struct spec *spec);
int spec_add_resources(struct spec *spec);
int spec_add_devices(struct spec *spec);
int spec_add_seccomp(struct spec *spec);
int spec_add_capabilities(struct spec *spec);
/* The CDI devices of HostConfig.DeviceRequests. */
int spec_add_cdi(struct spec *spec);

/* A device node of the host, as linux.devices wants it, and the rule that allows it. mode is made
 * of r, w and m. */
int spec_add_device_node(struct spec *spec, const char *host_path, const char *path,
                         const char *mode);

/* A default profile's answer, or a user's in docker's format as OCI's: conditions on capabilities,
 * architectures and kernel versions decided. NULL with the error. */
json_t *spec_convert_seccomp(const json_t *profile, const json_t *capabilities, struct error *err);

#endif
