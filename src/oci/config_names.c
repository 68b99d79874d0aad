/* The specification's names that both the parser and the drivers need. */
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <strings.h>

#include "oci/config.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

const char *const config_hook_names[CONFIG_HOOK_KINDS] = {
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
};

const struct config_namespace_kind_info config_namespace_kinds[CONFIG_NAMESPACE_KINDS] = {
    [CONFIG_NAMESPACE_USER] = {"user", "user", CLONE_NEWUSER},
    [CONFIG_NAMESPACE_PID] = {"pid", "pid", CLONE_NEWPID},
    [CONFIG_NAMESPACE_NETWORK] = {"network", "net", CLONE_NEWNET},
    [CONFIG_NAMESPACE_MOUNT] = {"mount", "mnt", CLONE_NEWNS},
    [CONFIG_NAMESPACE_IPC] = {"ipc", "ipc", CLONE_NEWIPC},
    [CONFIG_NAMESPACE_UTS] = {"uts", "uts", CLONE_NEWUTS},
    [CONFIG_NAMESPACE_CGROUP] = {"cgroup", "cgroup", CLONE_NEWCGROUP},
    [CONFIG_NAMESPACE_TIME] = {"time", "time", CLONE_NEWTIME},
};

static const char *const capability_names[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
_Static_assert(sizeof capability_names / sizeof *capability_names == CAP_LAST_CAP + 1,
               "one name a capability");

int config_capability_number(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (int number = 0; number <= CAP_LAST_CAP; number++) {
        const char *known = capability_names[number] + 4;
        /* The first letter decides mostly; a privileged process has 41 names in five sets. */
        if ((*name | 0x20) == (*known | 0x20) && strcasecmp(name, known) == 0)
            return number;
    }
    return -1;
}

const char *config_capability_name(int number)
{
    return number >= 0 && number <= CAP_LAST_CAP ? capability_names[number] : NULL;
}
