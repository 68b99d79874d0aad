/* Mounting what a volume's options name: mount(8) does it, which knows the options of every file
 * system, and its helpers. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "volume/volume_internal.h"

#define OUTPUT_MAX 4096

/* What needs a helper beside the kernel; without one mount(8) only says "bad option". */
static const struct {
    const char *type;
    const char *package; /* of Debian; others name it alike */
} helped[] = {
    {"nfs", "nfs-common"},   {"nfs4", "nfs-common"},  {"cifs", "cifs-utils"},
    {"smb3", "cifs-utils"},  {"ceph", "ceph-common"}, {"glusterfs", "glusterfs-client"},
    {"fuse.sshfs", "sshfs"},
};

static int check_helper(const char *name, const char *type, struct error *err)
{
    char helper[64], other[64];
    for (size_t i = 0; i < sizeof helped / sizeof *helped; i++) {
        if (strcmp(helped[i].type, type) != 0)
            continue;
        snprintf(helper, sizeof helper, "/sbin/mount.%s", type);
        snprintf(other, sizeof other, "/usr/sbin/mount.%s", type);
        if (access(helper, X_OK) < 0 && access(other, X_OK) < 0)
            return error_set(err, 0, "volume '%s': mounting the type %s needs %s (install %s)",
                             name, type, helper, helped[i].package);
    }
    return 0;
}

char *volume_mount_device(const char *type, const char *device, const char *options)
{
    const char *address = strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0 ? options : NULL;
    while (address && strncmp(address, "addr=", 5) != 0) {
        address = strchr(address, ',');
        address += address != NULL;
    }
    if (!address || device[0] != ':')
        return memory_copy_string(device);
    address += strlen("addr=");
    int length = (int)strcspn(address, ",");
    bool brackets = memchr(address, ':', (size_t)length) && address[0] != '[';
    return memory_format(brackets ? "[%.*s]%s" : "%.*s%s", length, address, device);
}

/* What mount(8) has printed, on one line. */
static void read_output(int output, char text[OUTPUT_MAX])
{
    ssize_t count = pread(output, text, OUTPUT_MAX - 1, 0);
    size_t length = count > 0 ? (size_t)count : 0;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '.'))
        length--;
    text[length] = '\0';
    for (char *at = text; *at; at++)
        if (*at == '\n' || *at == '\t')
            *at = ' ';
}

static void execute(char *const argv[], int output, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(null, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(output, STDERR_FILENO) >= 0)
        execvp(argv[0], argv);
    dprintf(output, "can't execute %s: %s", argv[0], strerror(errno));
    _exit(127);
}

/* Its output goes into a file, not a pipe, which a helper that stays in the background would hold
 * open. It dies with us, so that nothing is mounted after somebody has cleaned up behind us. */
static int run(char *const argv[], int output, int *status)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        execute(argv, output, parent);
    int result = pid;
    while (result >= 0 && (result = waitpid(pid, status, 0)) < 0 && errno == EINTR)
        result = 0;
    return result < 0 ? -1 : 0;
}

int volume_run_mount(const char *name, const char *path, const json_t *options, struct error *err)
{
    const char *type = json_string_value(json_object_get(options, "type"));
    const char *given = json_string_value(json_object_get(options, "o"));
    scope_free char *device =
        volume_mount_device(type, json_string_value(json_object_get(options, "device")), given);
    if (check_helper(name, type, err) < 0)
        return -1;
    char *argv[] = {
        "mount", "-t",   (char *)type, "-o", (char *)(given && *given ? given : "defaults"),
        "--",    device, (char *)path, NULL};
    char text[OUTPUT_MAX];
    int status = 0;
    scope_close int output = memfd_create("mount", MFD_CLOEXEC);
    if (output < 0)
        return error_set(err, errno, "volume '%s': can't keep what mount says", name);
    if (run(argv, output, &status) < 0)
        return error_set(err, errno, "volume '%s': can't execute mount", name);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    read_output(output, text);
    return error_set(err, 0, "volume '%s': can't mount %s, of type %s: %s", name, device, type,
                     text);
}
