/* A container's settings as an OCI runtime configuration (config.json), as strict as Docker's
 * default: what its program may do is what the settings ask for and nothing more. */
#ifndef HULL_ENGINE_SPEC_H
#define HULL_ENGINE_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/warning.h"

/* All belongs to the caller and is only read. Paths are absolute and of the host. */
struct spec_input {
    const char *id;         /* 64 hex digits; its first 12 are the default host name */
    const json_t *settings; /* checked, and merged with the image's: settings_merge() */
    const char *rootfs;     /* what becomes root.path; it needn't be mounted yet */
    /* Where the image's users are looked up: the directories of the root file system's layers, the
     * uppermost (the container's own) first. */
    const char *const *layers;
    size_t layer_count;
    /* settings_list_mounts() with every Source a path: a volume's is its directory. */
    const json_t *mounts;
    /* Files bound over /etc/hosts and so on, unless a mount takes the place; NULL: none. */
    const char *hosts_file, *hostname_file, *resolv_conf_file;
    /* Namespaces to join. network: NULL is the host's. The others, for PidMode "container:…" and
     * IpcMode "container:…" (or "shareable" that another has made); NULL: as the mode says. */
    const char *network_namespace, *pid_namespace, *ipc_namespace;
    const char *shm_directory; /* bound at /dev/shm: of a shared IPC namespace; or NULL */
    /* For UsernsMode "private" and "auto": as linux.uidMappings and linux.gidMappings want them. */
    const json_t *uid_mappings, *gid_mappings;
    const char *user_namespace; /* one that has them already, to join; or NULL */
    const char *init;           /* for HostConfig.Init: spec_find_init(); or NULL */
    const char *cgroups_path; /* NULL: "/hull/ID", below HostConfig.CgroupParent if that is given */
    bool systemd_cgroup;      /* cgroups_path is made for systemd: "SLICE:hull:ID" */
    bool rootless;            /* hull is not the host's root */
    /* Where CDI's specifications lie, the last directory winning; NULL: /etc/cdi, /var/run/cdi */
    const char *const *cdi_directories;
    size_t cdi_directory_count;
    const struct warnings *warnings;
};

/* The configuration, a new document; -1 with the error that names the setting. */
int spec_make(const struct spec_input *input, json_t **config, struct error *err);

/* linux.resources alone, a new document, as `hull-oci update` takes it. */
int spec_make_resources(const json_t *settings, json_t **resources, struct error *err);

/* A small init on the host that --init binds at /sbin/docker-init: catatonit, tini-static or
 * docker-init, statically linked. The caller frees; NULL with an error that says what to install.*/
char *spec_find_init(struct error *err);

/* Who "USER[:GROUP]" is by the /etc/passwd and /etc/group below the layers. */
struct spec_user {
    unsigned int uid, gid;
    unsigned int *groups; /* supplementary: those of /etc/group, if no GROUP is given */
    size_t group_count;
    char *home, *name; /* of /etc/passwd, or NULL */
};
/* text NULL or "": root. Numbers needn't be known to the image; names must. */
int spec_look_up_user(const char *const *layers, size_t layer_count, const char *text,
                      struct spec_user *user, struct error *err);
void spec_release_user(struct spec_user *user);
/* The number of a group, which may be given by name. */
int spec_look_up_group(const char *const *layers, size_t layer_count, const char *text,
                       unsigned int *gid, struct error *err);

/* The default profile of seccomp for these capabilities ("CAP_SYS_ADMIN" …, an array), as
 * linux.seccomp wants it. */
json_t *spec_default_seccomp(const json_t *capabilities);

#endif
