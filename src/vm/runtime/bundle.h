/* What a machine is made of: a bundle of the OCI runtime specification with one more file,
 * machine.json, which hull's engine writes:
 *
 *     {"vcpus": 1, "memory": 512,                     MiB
 *      "kernel": PATH, "initrd": PATH, "arguments": "…",
 *      "layers": {"size": …, "extents": […]},          vm/image/disk_layout.h; absent: no layers
 *      "partitions": 2,                                of it, the top layer first
 *      "disk": PATH, "volatile": false,                ext4, written to; volatile: not kept
 *      "network": {"interfaces": […], "routes": […]},  as in docs/agent.md; eth0's tap is tap0
 *      "owner": 1234567,                               user and group of the jailed monitor
 *      "engine": "auto", "monitor": PATH}              hull-vmm's
 *
 * Binds of config.json become shares: each is mounted in the jail under its number. */
#ifndef HULL_VM_RUNTIME_BUNDLE_H
#define HULL_VM_RUNTIME_BUNDLE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define BUNDLE_SHARES_TAG "volumes"

/* A directory or file of the host that the guest sees. */
struct bundle_share {
    const char *source;
    bool is_read_only, is_recursive;
};

struct bundle {
    char *directory; /* absolute */
    char *jail;      /* the monitor's root directory, below it */
    char *socket;    /* of the agent's connections: that of the monitor's vsock */
    json_t *config, *machine;
    const char *kernel, *initrd, *arguments, *disk, *engine, *monitor;
    const char *network_namespace; /* path */
    int64_t vcpus, memory, partitions;
    uid_t owner;
    bool is_volatile, has_terminal;
    struct bundle_share *shares;
    size_t share_count;
};

/* Reads and checks both files. Release it in any case. */
int bundle_read(struct bundle *bundle, const char *directory, struct error *err);
void bundle_release(struct bundle *bundle);
#define scope_bundle __attribute__((cleanup(bundle_release)))

/* The agent's boot document; a new object. */
json_t *bundle_describe_boot(const struct bundle *bundle);
/* The monitor's --config-file; a new object. Paths are those in the jail. */
json_t *bundle_describe_machine(const struct bundle *bundle);

#endif
