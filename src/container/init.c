/* The container's first process, from clone to execve. docs/container.md explains the order. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/admit.h"
#include "container/channel.h"
#include "container/console.h"
#include "container/hooks.h"
#include "container/keyring.h"
#include "container/launch.h"
#include "container/lsm.h"
#include "container/process.h"
#include "container/rootfs.h"
#include "container/rootpath.h"
#include "container/signals.h"
#include "container/state.h"

struct init {
    struct launch *launch;
    int channel;
    pid_t outer_pid; /* our pid as the runtime sees it */
    struct rootfs rootfs;
    struct process process;
};

static int bring_up_loopback(struct error *err)
{
    scope_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return error_set(err, errno, "can't bring up the loopback interface");
    return 0;
}

static int set_up_namespaces(struct init *init, struct error *err)
{
    struct launch *launch = init->launch;
    const struct config *config = &launch->config;
    if (namespaces_enter(&launch->namespaces, err) < 0)
        return -1;
    if (setsid() < 0 && errno != EPERM)
        return error_set(err, errno, "can't start a session");
    if (!launch->options->no_new_keyring && keyring_join(launch->options->id, err) < 0)
        return -1;
    if (namespaces_makes(&launch->namespaces, CONFIG_NAMESPACE_NETWORK) &&
        bring_up_loopback(err) < 0)
        return -1;
    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return error_set(err, errno, "can't set the hostname '%s'", config->hostname);
    if (config->domainname && setdomainname(config->domainname, strlen(config->domainname)) < 0)
        return error_set(err, errno, "can't set the domain name '%s'", config->domainname);
    return 0;
}

static json_t *own_state(const struct init *init, const char *status)
{
    return state_document(init->launch->record.header, status, init->outer_pid);
}

static int run_own_hooks(const struct init *init, enum config_hook_kind kind, const char *status,
                         struct error *err)
{
    if (init->launch->config.hooks[kind].count == 0)
        return 0;
    json_t *state = own_state(init, status);
    int result = hooks_run(&init->launch->config, kind, state, NULL, err);
    json_decref(state);
    return result;
}

/* prestart and createRuntime run in the runtime's namespaces, createContainer in ours; all of
 * them when the mounts are there but the host's root is not yet gone. */
static int run_create_hooks(struct init *init, struct error *err)
{
    const struct config_hooks *hooks = init->launch->config.hooks;
    if (hooks[CONFIG_HOOK_PRESTART].count || hooks[CONFIG_HOOK_CREATE_RUNTIME].count) {
        struct channel_message answer;
        if (channel_send(init->channel, CHANNEL_HOOKS, 0) < 0)
            return error_set(err, errno, "can't ask for the hooks");
        if (channel_expect(init->channel, CHANNEL_GO, "the runtime", &answer, err) < 0)
            return -1;
    }
    /* As in runc, they find the container's root as their working directory. */
    if (hooks[CONFIG_HOOK_CREATE_CONTAINER].count && init->rootfs.root != AT_FDCWD &&
        fchdir(init->rootfs.root) < 0)
        return error_set(err, errno, "can't enter the root file system");
    return run_own_hooks(init, CONFIG_HOOK_CREATE_CONTAINER, "creating", err);
}

static int set_up_terminal(struct init *init, struct error *err)
{
    const struct config_process *process = init->launch->config.process;
    if (!process->terminal)
        return 0;
    scope_close int master = -1, slave = -1;
    if (console_open(init->rootfs.root, process, !init->launch->options->console_socket, &master,
                     &slave, err) < 0 ||
        (init->rootfs.root != AT_FDCWD && rootfs_mount_console(&init->rootfs, slave, err) < 0))
        return -1;
    if (channel_send_descriptors(init->channel, CHANNEL_CONSOLE, 0, &master, 1) < 0)
        return error_set(err, errno, "can't send the terminal");
    return console_adopt(slave, err);
}

static int build_root(struct init *init, struct error *err)
{
    struct rootfs *rootfs = &init->rootfs;
    const struct config_process *process = init->launch->config.process;
    if (rootfs_mount_all(rootfs, err) < 0)
        return -1;
    /* A missing working directory is made, as runc does; if it can't be, entering it says so. */
    int cwd = rootpath_make(rootfs->root, process->cwd, true, NULL);
    if (cwd >= 0)
        close(cwd);
    if (set_up_terminal(init, err) < 0 || run_create_hooks(init, err) < 0 ||
        rootfs_protect(rootfs, err) < 0)
        return -1;
    if ((process->apparmor_profile || process->selinux_label) &&
        rootfs_open_procfs(rootfs, err) < 0)
        return error_wrap(err, "security label");
    return rootfs_enter(rootfs, init->launch->options->no_pivot, err);
}

/* Without a mount namespace of its own a container gets a root, but nothing can be mounted. */
static int change_root(struct init *init, struct error *err)
{
    if (run_create_hooks(init, err) < 0 || set_up_terminal(init, err) < 0)
        return -1;
    if (chroot(init->launch->root_path) < 0 || chdir("/") < 0)
        return error_set(err, errno, "can't change the root to %s", init->launch->root_path);
    return 0;
}

/* A created container waits here, for somebody who connects and says so; one who only looks
 * whether we wait goes away again. Returns the connection to answer on. */
static int wait_for_start(int listener, struct error *err)
{
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (connection < 0)
            return error_set(err, errno, "can't wait for start");
        struct channel_message message;
        if (channel_receive(connection, &message) == 0 && message.type == CHANNEL_START)
            return connection;
        close(connection);
    }
}

static void fill_rootfs(struct init *init)
{
    struct launch *launch = init->launch;
    const struct config_linux *section = &launch->config.linux_section;
    init->rootfs = (struct rootfs){
        .config = &launch->config,
        .cgroup = &launch->cgroup,
        .path = launch->root_path,
        .sources = launch->mount_sources,
        .root_source = launch->root_source,
        .mount_label = section->mount_label && lsm_selinux_enabled() ? section->mount_label : NULL,
        .user_namespace = namespaces_changes_user(&launch->namespaces),
        .cgroup_namespace = namespaces_makes(&launch->namespaces, CONFIG_NAMESPACE_CGROUP) ||
                            launch->namespaces.joined[CONFIG_NAMESPACE_CGROUP] >= 0,
        .root = AT_FDCWD,
        .procfs = -1,
        .host_dev = -1,
    };
}

static void fill_process(struct init *init)
{
    struct launch *launch = init->launch;
    init->process = (struct process){
        .config = launch->config.process,
        .seccomp = launch->config.linux_section.seccomp ? &launch->seccomp : NULL,
        .has_personality = launch->config.linux_section.has_personality,
        .personality = launch->config.linux_section.personality,
        .user_namespace = init->rootfs.user_namespace,
        .procfs = init->rootfs.procfs,
        .preserved = launch->options->preserve_fds + launch->options->listen_fds,
        .listen_fds = launch->options->listen_fds,
    };
}

/* What needs no cgroup yet. */
static int begin_root(struct init *init, struct error *err)
{
    init->rootfs.host_dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (init->rootfs.host_dev < 0)
        return error_set(err, errno, "can't open the host's /dev");
    return rootfs_prepare(&init->rootfs, err);
}

/* From here on paths are the image's: with the host's directories open, /proc/self/fd/N/../.. as
 * the program or the working directory would lead there (CVE-2024-21626). A created container
 * waits in this state, and lets others in. */
static int close_others(struct init *init, struct error *err)
{
    struct launch *launch = init->launch;
    const int kept[] = {init->channel, launch->start_listener, launch->record.fd};
    return file_close_others(3 + init->process.preserved, kept, sizeof kept / sizeof *kept, err);
}

static int set_up(struct init *init, struct error *err)
{
    struct launch *launch = init->launch;
    bool own_mounts = namespaces_makes(&launch->namespaces, CONFIG_NAMESPACE_MOUNT) ||
                      launch->namespaces.joined[CONFIG_NAMESPACE_MOUNT] >= 0;
    /* In a user namespace nothing can be done before the runtime has mapped us. Otherwise we work
     * while the runtime makes our cgroups. */
    bool waits_first = namespaces_changes_user(&launch->namespaces);
    if (waits_first && admit_await(init->channel, &init->outer_pid, err) < 0)
        return -1;
    if (set_up_namespaces(init, err) < 0)
        return -1;
    fill_rootfs(init);
    if (own_mounts && begin_root(init, err) < 0)
        return -1;
    if (!waits_first && admit_await(init->channel, &init->outer_pid, err) < 0)
        return -1;
    /* Its root is the cgroup that we are in now. */
    if (namespaces_makes(&launch->namespaces, CONFIG_NAMESPACE_CGROUP) &&
        unshare(CLONE_NEWCGROUP) < 0)
        return error_set(err, errno, "can't make a cgroup namespace");
    if ((own_mounts ? build_root(init, err) : change_root(init, err)) < 0)
        return -1;
    fill_process(init);
    if (process_prepare(&init->process, err) < 0)
        return -1;
    if (close_others(init, err) < 0)
        return -1;
    process_make_environment(&init->process);
    if (process_find_program(&init->process, err) < 0)
        return -1;
    return process_become(&init->process, err);
}

/* Waits for `start`, which gets the errors from then on. */
static int hand_over(struct init *init, struct error *err)
{
    struct launch *launch = init->launch;
    /* The container's lock, inherited with the record, is the runtime's alone from here. */
    close(scope_take_fd(&launch->record.fd));
    if (channel_send(init->channel, CHANNEL_READY, 0) < 0)
        return error_set(err, errno, "can't say that the container is ready");
    close(init->channel);
    init->channel = -1;
    init->channel = wait_for_start(launch->start_listener, err);
    return init->channel < 0 ? -1 : 0;
}

/* To `start`, which isn't our parent and couldn't tell our death from the program's quick end. By
 * write(2), as the seccomp filter is in force. */
static int announce_execution(const struct init *init, struct error *err)
{
    if (channel_report(init->channel, CHANNEL_EXECUTES, 0, NULL) < 0)
        return error_set(err, errno, "can't say that the program begins");
    return 0;
}

void init_run(struct launch *launch, int channel)
{
    struct init init = {.launch = launch, .channel = channel};
    struct error err = {0};
    umask(0);
    signals_reset();
    if (set_up(&init, &err) == 0 && (!launch->process.waits || hand_over(&init, &err) == 0) &&
        process_confine(&init.process, init.channel, &err) == 0 &&
        run_own_hooks(&init, CONFIG_HOOK_START_CONTAINER, "created", &err) == 0 &&
        (!launch->process.waits || announce_execution(&init, &err) == 0))
        process_execute(&init.process, &err);
    channel_fail(init.channel, &err);
}
