/* The command line of hull-vmm: Firecracker's flags, and hull's own. */
#ifndef HULL_VM_CONTROL_OPTIONS_H
#define HULL_VM_CONTROL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/command.h"
#include "vm/control/settings.h"

enum vm_engine { VM_ENGINE_AUTO, VM_ENGINE_KVM, VM_ENGINE_BT };

/* Where and as whom the monitor locks itself up. */
struct jail_options {
    const char *directory; /* becomes the root directory; NULL: no jail */
    uid_t uid;
    gid_t gid;
    const char *network_namespace; /* a file to join, or NULL */
    const char *cgroup;            /* a directory to join, or NULL */
    bool new_pid_namespace;
    const char **limits; /* "no-file=1024", "fsize=…", checked by who sets them */
    size_t limit_count;
};

/* The strings are argv's, or live until vm_options_release(). */
struct vm_options {
    const char *api_socket;                                 /* NULL with --no-api */
    const char *config_file, *metadata_file, *metrics_path; /* or NULL */
    const char *id;
    struct logger_settings logger;     /* given: some of its flags were */
    size_t body_limit, metadata_limit; /* bytes */
    bool boot_timer;                   /* a device by which the guest says that it is up */
    bool seccomp;
    bool pci;
    uint64_t start_time_us, start_time_cpu_us, parent_cpu_time_us; /* 0: not given */
    enum vm_engine engine;
    bool user_interrupts;   /* the monitor's interrupt controllers, not the engine's */
    const char *gdb_socket; /* or NULL */
    struct jail_options jail;
    struct command_line line;
};

/* The flags, for man page and completions. */
extern const struct command_program vm_options_program;

/* Reads the command line. Returns 0 to go on, 1 where help or the version was asked for and has
 * been printed, -1 with the error. Whatever it returns, call vm_options_release(). */
int vm_options_read(struct vm_options *options, int argc, char **argv, struct error *err);
void vm_options_release(struct vm_options *options);

#endif
