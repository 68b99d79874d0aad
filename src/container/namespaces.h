/* The namespaces of a container: new ones made and existing ones joined, for its first process.
 *
 * Where one clone3(2) can do it, it does. Some combinations need a process in between, because
 * the kernel lets a process choose some namespaces only for its children (pid, time), and because
 * what may be joined depends on the user namespace one is in. That process makes the container's
 * first process as its sibling (CLONE_PARENT), says its pid, and is gone. */
#ifndef HULL_CONTAINER_NAMESPACES_H
#define HULL_CONTAINER_NAMESPACES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"

struct namespaces {
    uint64_t create;                    /* CLONE_NEW… of those to be made */
    int joined[CONFIG_NAMESPACE_KINDS]; /* descriptors of those to be joined, or -1 */
    const struct config_linux *config;  /* mappings and time offsets */
};

/* Opens what is to be joined by path, and checks that each is of its kind. */
int namespaces_open(struct namespaces *namespaces, const struct config_linux *config,
                    struct error *err);
void namespaces_close(struct namespaces *namespaces);

bool namespaces_makes(const struct namespaces *namespaces, enum config_namespace_kind kind);
/* Is the process's user namespace another one than ours? */
bool namespaces_changes_user(const struct namespaces *namespaces);
/* Is a process in between needed? Then the first process must enter its v2 cgroup itself. */
bool namespaces_is_staged(const struct namespaces *namespaces);

/* Makes the container's first process. Returns its pid in the runtime and 0 in it, as fork(2).
 * channel: ends[0] is the runtime's, ends[1] the child's; the other end is closed in each.
 * cgroup: a directory for CLONE_INTO_CGROUP (used unless staged), or -1. A new user
 * namespace's mappings are written. The child has still to call namespaces_enter(). */
pid_t namespaces_clone(const struct namespaces *namespaces, const int channel[2], int cgroup,
                       struct error *err);

/* Becomes root of the user namespace that one is in, if it maps one: files made from here on need
 * an owner. */
int namespaces_become_root(struct error *err);

/* In the child: joins what clone3 could not, and becomes root of a user namespace. */
int namespaces_enter(const struct namespaces *namespaces, struct error *err);

#endif
