/* From a new process to the program: the order is that of containers on a host (docs/container.md),
 * and so is the code. A guest's container has namespaces of its own for processes, mounts, names,
 * IPC and cgroups, so that its first process is process 1 there and takes all others with it; the
 * network is the machine's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/channel.h"
#include "container/console.h"
#include "container/process.h"
#include "container/rootfs.h"
#include "container/rootpath.h"
#include "container/signals.h"
#include "guest.h"

/* Nothing is dropped where nothing is said: what confines a guest is its machine. */
static void allow_all(struct launch *launch, struct arena *arena)
{
    struct config_process *process = launch->process;
    if (process->capabilities)
        return;
    struct config_capabilities *all = arena_allocate(arena, 1, sizeof *all);
    for (int number = 0; number < 64 && prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++) {
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            all->sets[CONFIG_CAPABILITY_BOUNDING] |= UINT64_C(1) << number;
    }
    all->sets[CONFIG_CAPABILITY_EFFECTIVE] = all->sets[CONFIG_CAPABILITY_PERMITTED] =
        all->sets[CONFIG_CAPABILITY_BOUNDING];
    process->capabilities = all;
}

static int set_names(const struct config *config, struct error *err)
{
    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return error_set(err, errno, "can't set the hostname '%s'", config->hostname);
    if (config->domainname && setdomainname(config->domainname, strlen(config->domainname)) < 0)
        return error_set(err, errno, "can't set the domain name '%s'", config->domainname);
    return 0;
}

/* Standard streams: the agent's pipes, or a terminal of the container's devpts. */
static int set_up_streams(struct launch *launch, struct rootfs *rootfs, int root, struct error *err)
{
    if (launch->process->terminal) {
        scope_close int master = -1, slave = -1;
        if (console_open(root, launch->process, false, &master, &slave, err) < 0 ||
            (rootfs && rootfs_mount_console(rootfs, slave, err) < 0))
            return -1;
        if (channel_send_descriptors(launch->channel, CHANNEL_CONSOLE, 0, &master, 1) < 0)
            return error_set(err, errno, "can't send the terminal");
        return console_adopt(slave, err);
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(launch->streams[i], i) < 0)
            return error_set(err, errno, "can't set up standard stream %d", i);
    }
    return 0;
}

static int find_user(struct launch *launch, int root, struct arena *arena, struct error *err)
{
    if (!launch->username)
        return 0;
    return user_resolve(launch->process, launch->username, root, arena, err);
}

static int enter_new(struct launch *launch, struct arena *arena, struct error *err)
{
    struct rootfs rootfs = {.config = launch->config,
                            .path = GUEST_ROOT,
                            .root_source = -1,
                            .cgroup_namespace = true,
                            .root = AT_FDCWD,
                            .procfs = -1,
                            .host_dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (setsid() < 0 || unshare(CLONE_NEWCGROUP) < 0)
        return error_set(err, errno, "can't start a session");
    if (set_names(launch->config, err) < 0 || rootfs_prepare(&rootfs, err) < 0 ||
        rootfs_mount_all(&rootfs, err) < 0)
        return -1;
    /* A missing working directory is made, as for containers. */
    int cwd = rootpath_make(rootfs.root, launch->process->cwd, true, NULL);
    if (cwd >= 0)
        close(cwd);
    if (find_user(launch, rootfs.root, arena, err) < 0 ||
        set_up_streams(launch, &rootfs, rootfs.root, err) < 0 || rootfs_protect(&rootfs, err) < 0)
        return -1;
    return rootfs_enter(&rootfs, false, err);
}

static int enter_existing(struct launch *launch, struct arena *arena, struct error *err)
{
    scope_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (setsid() < 0 || root < 0)
        return error_set(err, errno, "can't start a session");
    if (find_user(launch, root, arena, err) < 0)
        return -1;
    return set_up_streams(launch, NULL, root, err);
}

static int become_program(struct launch *launch, struct arena *arena, struct error *err)
{
    struct process process = {.config = launch->process, .procfs = -1};
    allow_all(launch, arena);
    if (launch->container < 0 && launch->config->linux_section.has_personality) {
        process.has_personality = true;
        process.personality = launch->config->linux_section.personality;
    }
    if (process_prepare(&process, err) < 0 || file_close_others(3, &launch->channel, 1, err) < 0)
        return -1;
    process_make_environment(&process);
    if (process_find_program(&process, err) < 0 || process_become(&process, err) < 0 ||
        process_confine(&process, launch->channel, err) < 0)
        return -1;
    return process_execute(&process, err);
}

/* Joining: the process id namespace is for children only, so a second one is made, as the agent's
 * child and not ours. */
static void join(struct launch *launch, struct error *err)
{
    const int flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    if (setns(launch->container, flags) < 0) {
        error_set(err, errno, "can't join the container");
        channel_fail(launch->channel, err);
    }
    struct clone_args arguments = {.flags = CLONE_PARENT};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0)
        return;
    if (pid < 0) {
        error_set(err, errno, "can't make a process in the container");
        channel_fail(launch->channel, err);
    }
    channel_send(launch->channel, CHANNEL_PID, (int)pid);
    _exit(0);
}

void launch_run(struct launch *launch)
{
    struct error err = {0};
    struct arena arena = {0};
    bool joins = launch->container >= 0;
    umask(0);
    signals_reset();
    if (joins)
        join(launch, &err);
    if ((joins ? enter_existing : enter_new)(launch, &arena, &err) == 0)
        become_program(launch, &arena, &err);
    channel_fail(launch->channel, &err);
}
