/* Seccomp filters from config.json's linux.seccomp through libseccomp, which is loaded only when
 * a configuration has one. Compiling (in the runtime, before clone) and installing (in the
 * container's process, last before exec) are apart, so that a bad profile is refused before
 * anything is created. */
#ifndef HULL_CONTAINER_SECCOMP_H
#define HULL_CONTAINER_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>

#include "base/error.h"
#include "oci/config.h"

struct seccomp_program {
    struct sock_fprog filter; /* filter.filter is malloc'ed */
    unsigned int flags;       /* SECCOMP_FILTER_FLAG_… for seccomp(2) */
    bool notify;              /* some rule says SCMP_ACT_NOTIFY */
};

/* Compiles. System calls that this libseccomp doesn't know are skipped, as runc does; an unknown
 * architecture or a flag that this kernel lacks is an error. */
int seccomp_compile(struct seccomp_program *program, const struct config_seccomp *seccomp,
                    struct error *err);
void seccomp_release(struct seccomp_program *program);

/* Installs the filter on the calling thread. *listener is the notification descriptor if
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

#endif
