/* The labels of the Linux security modules AppArmor and SELinux, on hosts that have them.
 *
 * A label is written into a file of procfs by a process that has already entered a file system
 * which the image's author may have filled, and volumes that other containers change meanwhile.
 * Whoever makes that write go to another file (CVE-2025-52881 did so with a tmpfs and symbolic
 * links in the place of /proc) gets a container without a label, or a write to a file of the
 * host. So labels are written relative to a descriptor of procfs's own root, crossing no symbolic
 * link and no mount. */
#ifndef HULL_CONTAINER_LSM_H
#define HULL_CONTAINER_LSM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Whether the host's kernel enforces them. */
bool lsm_apparmor_enabled(void);
bool lsm_selinux_enabled(void);

/* Whether the host can give what the configuration wants; any of the three may be NULL or empty.
 * The runtime asks before it creates anything. */
int lsm_check(const char *apparmor_profile, const char *selinux_label, const char *mount_label,
              struct error *err);

/* Sets what the calling thread will be confined by from its next exec on. Either may be NULL or
 * empty. procfs is a descriptor (O_PATH suffices) of the root of a procfs mount, one of the
 * thread's pid namespace or above, such as an own detached one (fsmount). */
int lsm_set_exec_label(int procfs, const char *apparmor_profile, const char *selinux_label,
                       struct error *err);

/* Opens the file called name ("attr/exec") of the calling thread for writing (flags: O_WRONLY) or
 * reading below procfs, with the checks described above. Returns the descriptor or -1. */
int lsm_open_thread_file(int procfs, const char *name, uint64_t flags, struct error *err);

/* The mount option (context="LABEL") that gives a new file system mount_label; the caller frees
 * it. NULL where there is nothing to add: no label, or selinux_enabled is false. */
char *lsm_mount_label_option(const char *mount_label, bool selinux_enabled);

#endif
