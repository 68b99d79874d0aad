/* Compiled filters on disk: libseccomp takes milliseconds for a profile of 400 system calls, and
 * one profile serves most containers of a host.
 *
 * An entry holds all that the compilation depends on and is compared with it byte by byte, so no
 * two profiles can be confused, whatever their names' hashes: the format's version, the machine
 * and the kernel's release, the profile, and the identity (path, inode, size, times) of the
 * libseccomp file that compiled it. A hit therefore doesn't load libseccomp; an upgrade of it is a
 * miss.
 *
 * Who can write an entry chooses the filter. So nobody else may: the directory and each entry must
 * belong to the effective user and be writable by nobody else, entries are regular files of mode
 * 0600, and symbolic links aren't followed. (The directory lies in the runtime's state directory,
 * mode 0700; who can write there can change every container's recorded configuration as well.)
 * The checksum guards against torn and rotten files, not against attackers.
 *
 * At most SECCOMP_CACHE_ENTRIES are kept; the oldest go. */
#ifndef HULL_CONTAINER_SECCOMP_CACHE_H
#define HULL_CONTAINER_SECCOMP_CACHE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "oci/config.h"

#define SECCOMP_CACHE_ENTRIES 32

struct seccomp_cache_key {
    unsigned char *bytes; /* malloc'ed */
    size_t length, room;
};

void seccomp_cache_make_key(struct seccomp_cache_key *key, const struct config_seccomp *seccomp);
void seccomp_cache_release_key(struct seccomp_cache_key *key);

/* Whether the cache had a filter for the key; then *filter is filled, filter->filter malloc'ed. */
bool seccomp_cache_load(const char *directory, const struct seccomp_cache_key *key,
                        struct sock_fprog *filter);

/* Keeps the filter that the libseccomp at library_path compiled. That it fails (a full disk) is
 * no error: the next start compiles again. */
void seccomp_cache_store(const char *directory, const struct seccomp_cache_key *key,
                         const char *library_path, const struct sock_fprog *filter);

#endif
