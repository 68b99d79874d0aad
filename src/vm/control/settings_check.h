/* What can't be said of one field alone. Each returns -1 with the text that the API answers, in
 * Firecracker's words where its own tests know them. */
#ifndef HULL_VM_CONTROL_SETTINGS_CHECK_H
#define HULL_VM_CONTROL_SETTINGS_CHECK_H

#include "vm/control/settings.h"

/* Letters, digits and underscores, 1 to VM_MAX_ID_LENGTH of them. */
int settings_check_id(const char *id, struct error *err);
/* These open the files, as far as that can be done without effect, and close them again. */
int settings_check_boot(const struct boot_settings *boot, struct error *err);
int settings_check_drive(const struct vm_settings *settings, const struct drive_settings *drive,
                         struct error *err);
int settings_check_drive_file(const char *path, bool is_read_only, struct error *err);
int settings_check_pmem(const struct vm_settings *settings, const struct pmem_settings *pmem,
                        struct error *err);
int settings_check_filesystem(const struct vm_settings *settings,
                              const struct filesystem_settings *filesystem, struct error *err);

int settings_check_machine(const struct machine_settings *machine,
                           const struct balloon_settings *balloon, struct error *err);
int settings_check_interface(const struct vm_settings *settings,
                             const struct interface_settings *interface, struct error *err);
int settings_check_vsock(const struct vsock_settings *vsock, struct error *err);
int settings_check_balloon(const struct balloon_settings *balloon, uint64_t mem_size_mib,
                           struct error *err);
int settings_check_memory_hotplug(const struct memory_hotplug_settings *memory, struct error *err);
int settings_check_metadata(const struct vm_settings *settings,
                            const struct metadata_settings *metadata, struct error *err);

/* "No such file or directory (os error 2)", as Firecracker words it. */
struct settings_reason {
    char text[128];
};
struct settings_reason settings_reason(int code);

#endif
