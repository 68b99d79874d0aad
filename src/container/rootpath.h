/* Paths inside a container's root file system, which its image and its neighbours write: nothing
 * is ever resolved outside it, whatever symbolic links say and however they change meanwhile
 * (openat2(2) with RESOLVE_IN_ROOT; every result is a descriptor, no path is used twice). */
#ifndef HULL_CONTAINER_ROOTPATH_H
#define HULL_CONTAINER_ROOTPATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens an existing path with these open(2) flags, symbolic links followed inside root. Returns
 * -1 with errno. */
int rootpath_open(int root, const char *path, uint64_t flags);

/* An O_PATH descriptor of path, which is made if it is missing: as a directory (0755) or an empty
 * file, its parents as directories. Dangling links are followed, inside root, and their targets
 * made. */
int rootpath_make(int root, const char *path, bool directory, struct error *err);

/* Makes the parents of path, and gives their last as an O_PATH descriptor; *name points to the
 * last component, inside path. */
int rootpath_make_parent(int root, const char *path, const char **name, struct error *err);

/* Is fd on a procfs (or sysfs) mount, as its place in the tree claims? */
bool rootpath_is_procfs(int fd);
bool rootpath_is_sysfs(int fd);

#endif
