/* The options of config.json's mounts (runtime-spec config.md, "Linux mount options"), taken apart
 * into what each kernel interface wants. */
#ifndef HULL_CONTAINER_MOUNT_OPTIONS_H
#define HULL_CONTAINER_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "base/error.h"
#include "oci/config.h"

struct mount_options {
    bool bind, recursive; /* bind, rbind */
    bool remount;
    bool copy_up;                 /* tmpcopyup */
    bool idmap, idmap_recursive;  /* idmap, ridmap */
    struct mount_attr attributes; /* this mount: nosuid, ro, atime …, for mount_setattr(2) */
    struct mount_attr all;        /* and all mounts below it: rro and friends */
    bool readonly_later;          /* asked for, and put off until its contents are there */
    uint64_t propagation;         /* MS_SHARED …, 0: none asked for */
    bool propagation_recursive;   /* rshared … */
    const char *super_flags[6];   /* sync, dirsync, lazytime …, for fsconfig(2) */
    size_t super_flag_count;
    size_t data_count; /* the file system's own: "size=64k" */
    const char **data; /* malloc'ed array of borrowed strings */
};

/* Also decides bind from the mount's type. Contradictions are errors. */
int mount_options_parse(struct mount_options *options, const struct config_mount *mount,
                        struct error *err);
void mount_options_release(struct mount_options *options);

/* All names, NULL-terminated, sorted: for `features`. */
const char *const *mount_option_names(void);

/* Parses "rslave", "shared" … into MS_ flags (with MS_REC); 0 if unknown. */
unsigned long mount_propagation_flags(const char *name);

#endif
