/* Seccomp filters from config.json's linux.seccomp through libseccomp, which is loaded only when
 * a configuration has one. Compiling (in the runtime, before clone) and installing (in the
 * container's process, last before exec) are apart, so that a bad profile is refused before
 * anything is created. */
#ifndef HULL_CONTAINER_SECCOMP_H
#define HULL_CONTAINER_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/config.h"

struct seccomp_program {
    struct sock_fprog filter; /* filter.filter is malloc'ed */
    unsigned int flags;       /* SECCOMP_FILTER_FLAG_… for seccomp(2) */
    bool notify;              /* some rule says SCMP_ACT_NOTIFY */
};

/* Compiles. System calls that this libseccomp doesn't know are skipped, as runc does; an unknown
 * architecture or a flag that this kernel lacks is an error, and so are SCMP_ACT_NOTIFY without a
 * listenerPath, for write(2) or as the default action: the container's process has to hand over
 * its listener after the filter is in force.
 *
 * Where flags are not given (items is NULL; an empty list is given), SPEC_ALLOW is set if the
 * kernel has it, as runc does.
 *
 * cache_directory (NULL: no cache) holds the filters that were compiled before, see
 * seccomp_cache.h; it is made if its parent exists. A cache that can't be used is passed over. */
int seccomp_compile(struct seccomp_program *program, const struct config_seccomp *seccomp,
                    const char *cache_directory, struct error *err);
/* The same for linux.seccomp of a container's configuration, which may be NULL: then nothing is
 * done. The cache lies below the state directory. */
int seccomp_compile_section(struct seccomp_program *program, const struct config_seccomp *seccomp,
                            const char *state_directory, struct error *err);
/* (Not seccomp_release(), which is a function of libseccomp.) */
void seccomp_program_release(struct seccomp_program *program);

/* Installs the filter on the calling thread, which has no_new_privs or CAP_SYS_ADMIN in its user
 * namespace. *listener is the notification descriptor if
 * program->notify, else -1. Async-signal-safe: only system calls. */
int seccomp_install(const struct seccomp_program *program, int *listener, struct error *err);

/* Sends the listener to the agent at listener_path (a SOCK_STREAM unix socket) with the
 * container process state JSON of config-linux.md "The Container Process State": ociVersion,
 * fds ["seccompFd"], pid, metadata, and state (the `state` verb's object, borrowed). Done by the
 * runtime, outside the container. */
struct json_t;
int seccomp_send_listener(const char *listener_path, int listener, const char *oci_version, int pid,
                          const char *metadata, struct json_t *state, struct error *err);

/* What `features` prints: known actions, operators, architectures, and the flags known and
 * supported by this kernel, each NULL-terminated. */
const char *const *seccomp_actions(void);
const char *const *seccomp_operators(void);
const char *const *seccomp_architectures(void);
const char *const *seccomp_known_flags(void);
/* Fills supported (at least as long as known flags) with the subset that this kernel takes. */
void seccomp_supported_flags(const char **supported);
/* Fills text with libseccomp's version ("2.5.4"); fails where it isn't installed. */
int seccomp_library_version(char *text, size_t size, struct error *err);

#endif
