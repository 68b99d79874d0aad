/* One mount of config.json: made detached (fsopen, open_tree), given its attributes, and only then
 * attached to a target that is a descriptor. No path is resolved twice, so nobody can swap a
 * target or a source between a check and its use. */
#ifndef HULL_CONTAINER_MOUNTS_H
#define HULL_CONTAINER_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "container/mount_options.h"
#include "oci/config.h"

/* A detached mount of a new file system of this type, or -1. options may be NULL. label is an
 * SELinux mount label or NULL. */
int mount_new(const char *type, const char *source, const struct mount_options *options,
              const char *label, struct error *err);

/* A detached copy of the tree at path below directory (or of the descriptor itself, with path ""
 * and AT_EMPTY_PATH in flags). */
int mount_clone(int directory, const char *path, bool recursive, unsigned int flags,
                struct error *err);

/* The detached copy of a bind mount's source. Relative sources are relative to the working
 * directory, which is the bundle. */
int mount_clone_source(const struct config_mount *mount, const struct mount_options *options,
                       struct error *err);

/* Sets the attributes and the propagation of a mount by its descriptor. */
int mount_set_attributes(int fd, const struct mount_options *options, const char *name,
                         struct error *err);
int mount_set_propagation(int fd, uint64_t propagation, bool recursive, struct error *err);
int mount_set_readonly(int fd, bool recursive, struct error *err);

/* Shows the files with the owners that user_namespace maps theirs to. */
int mount_set_idmap(int fd, int user_namespace, bool recursive, struct error *err);

/* Changes options of the file system that fd is a mount of, as mount -o remount does. */
int mount_reconfigure(int fd, const struct mount_options *options, const char *name,
                      struct error *err);

/* Attaches a detached mount to the file or directory that target refers to. */
int mount_attach(int fd, int target, const char *name, struct error *err);

#endif
