/* exec: another process in a running container. As hostile as the container may be by now, the
 * process that joins it brings nothing along: it can't be looked into (not dumpable), its program
 * file can't be reached (exe_guard.h), and no descriptor of the host's survives into it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/admit.h"
#include "container/attend.h"
#include "container/channel.h"
#include "container/client_socket.h"
#include "container/console.h"
#include "container/container.h"
#include "container/exe_guard.h"
#include "container/exec_process.h"
#include "container/foreground.h"
#include "container/join.h"
#include "container/keyring.h"
#include "container/lsm.h"
#include "container/mounts.h"
#include "container/process.h"
#include "container/signals.h"
#include "container/state.h"

struct exec {
    const struct container_exec_options *options;
    struct record record;
    struct cgroup cgroup;
    struct exec_process process; /* the configuration, with the options' changes */
    struct seccomp_program seccomp;
    struct join join;
    struct attendance attendance;
};

/* ---- in the container ---- */

static int set_up_terminal(int channel, const struct config_process *process, bool ours,
                           struct error *err)
{
    if (!process->terminal)
        return 0;
    scope_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    scope_close int master = -1, slave = -1;
    if (root < 0)
        return error_set(err, errno, "can't open the container's root");
    if (console_open(root, process, ours, &master, &slave, err) < 0)
        return -1;
    if (channel_send_descriptors(channel, CHANNEL_CONSOLE, 0, &master, 1) < 0)
        return error_set(err, errno, "can't send the terminal");
    return console_adopt(slave, err);
}

static int set_up(struct exec *exec, int channel, struct process *process, struct error *err)
{
    const struct config_process *config = exec->process.process;
    if (admit_await(channel, NULL, err) < 0 || join_enter(&exec->join, err) < 0)
        return -1;
    close(scope_take_fd(&exec->join.pidfd));
    if (setsid() < 0)
        return error_set(err, errno, "can't start a session");
    if (keyring_join(exec->record.id, err) < 0 ||
        set_up_terminal(channel, config, !exec->options->console_socket, err) < 0)
        return -1;
    /* A procfs of our own making: the container's may be anything by now. */
    if ((config->apparmor_profile || config->selinux_label) &&
        (process->procfs = mount_new("proc", "proc", NULL, NULL, err)) < 0)
        return -1;
    if (process_prepare(process, err) < 0)
        return -1;
    process_make_environment(process);
    if (process_find_program(process, err) < 0)
        return -1;
    return process_become(process, err);
}

static _Noreturn void run_inside(struct exec *exec, int channel)
{
    const struct config_linux *section = &exec->process.config.linux_section;
    struct process process = {
        .config = exec->process.process,
        .seccomp = section->seccomp ? &exec->seccomp : NULL,
        .has_personality = section->has_personality,
        .personality = section->personality,
        .user_namespace = exec->join.flags & CLONE_NEWUSER,
        .procfs = -1,
        .preserved = exec->join.preserved,
        .listen_fds = exec->options->listen_fds,
    };
    struct error err = {0};
    const int kept[] = {channel, exec->join.pidfd};
    signals_reset();
    /* Nothing of the host's comes along: /proc/self/fd/N/../.. would lead there. */
    if (file_close_others(3 + process.preserved, kept, 2, &err) < 0)
        channel_fail(channel, &err);
    if (set_up(exec, channel, &process, &err) == 0 && process_confine(&process, channel, &err) == 0)
        process_execute(&process, &err);
    channel_fail(channel, &err);
}

/* ---- in the runtime ---- */

static int check_status(const struct exec *exec, struct error *err)
{
    const char *status = state_status(&exec->record);
    if (strcmp(status, "stopped") == 0 || strcmp(status, "creating") == 0)
        return error_set(err, 0, "cannot exec in a %s container", status);
    if (strcmp(status, "paused") == 0 && !exec->options->ignore_paused)
        return error_set(err, 0,
                         "cannot exec in a paused container (resume it, or use --ignore-paused)");
    return 0;
}

static int prepare(struct exec *exec, struct error *err)
{
    const struct container_exec_options *options = exec->options;
    if (admit_check_descriptors(options->preserve_fds + options->listen_fds, err) < 0 ||
        container_open(&exec->record, &exec->cgroup, options->root, options->id, err) < 0 ||
        check_status(exec, err) < 0)
        return -1;
    exec->join.pidfd = record_open_process(&exec->record);
    if (exec->join.pidfd < 0)
        return error_set(err, 0, "cannot exec in a stopped container");
    if (exec_process_make(&exec->process, options, &exec->record, err) < 0)
        return -1;
    const struct config *config = &exec->process.config;
    const struct config_process *process = exec->process.process;
    bool terminal = process->terminal;
    if (terminal && options->detach && !options->console_socket)
        return error_set(err, 0, "a detached process with a terminal needs --console-socket");
    if (options->console_socket && !terminal)
        return error_set(err, 0, "--console-socket is for a process with a terminal (--tty)");
    if (lsm_check(process->apparmor_profile, process->selinux_label, NULL, err) < 0)
        return -1;
    if (seccomp_compile_section(&exec->seccomp, config->linux_section.seccomp, options->root, err) <
        0)
        return -1;
    if (options->console_socket && (exec->attendance.console = client_socket_connect(
                                        "console", options->console_socket, err)) < 0)
        return -1;
    exec->join.flags = join_flags(&config->linux_section);
    exec->join.staged = join_is_staged(exec->join.flags, config);
    exec->join.preserved = options->preserve_fds + options->listen_fds;
    for (size_t i = 0; i < options->cgroup_count; i++) {
        if (exec_process_choose_cgroup(&exec->cgroup, options->cgroups[i], err) < 0)
            return -1;
    }
    return 0;
}

static int bring_up(struct exec *exec, struct error *err)
{
    int channel[2];
    if (prepare(exec, err) < 0)
        return -1;
    exec->attendance.header = exec->record.header;
    exec->attendance.init = exec->record.pid;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (exe_guard_detach(err) < 0 || channel_open(channel, err) < 0)
        return -1;
    bool staged = exec->join.staged;
    scope_close int cgroup =
        staged ? -1 : exec_process_open_cgroup(&exec->cgroup, exec->record.pid);
    pid_t pid = join_clone(&exec->join, channel, cgroup, err);
    if (pid == 0)
        run_inside(exec, channel[1]);
    exec->attendance.channel = channel[0];
    if (pid < 0)
        return -1;
    exec->attendance.pid = pid;
    const struct admission admission = {
        .process = exec->process.process,
        .cgroup = &exec->cgroup,
        .enters_v2 = cgroup < 0,
        .user_namespace = exec->join.flags & CLONE_NEWUSER,
        .pid_file = exec->options->pid_file,
        .pidfd_socket = exec->options->pidfd_socket,
    };
    if (admit(&exec->attendance, &admission, err) == 0 && attend(&exec->attendance, err) == 0)
        return 0;
    channel_explain(exec->attendance.channel, err);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

int container_exec(const struct container_exec_options *options, int *exit_status,
                   struct error *err)
{
    struct exec exec = {.options = options,
                        .record = RECORD_CLOSED,
                        .join = {.pidfd = -1},
                        .attendance = {.channel = -1, .ours = true, .console = -1, .terminal = -1}};
    struct foreground foreground;
    if (!options->detach)
        foreground_begin(&foreground);
    *exit_status = 0;
    exec.attendance.config = &exec.process.config;
    int result = bring_up(&exec, err);
    if (result < 0)
        *exit_status = 255; /* as runc's, lest it looks like the program's own 1 */
    if (result == 0 && !options->detach)
        result = foreground_attend(&foreground, exec.attendance.pid, exec.attendance.terminal,
                                   exit_status, err);
    if (!options->detach)
        foreground_end(&foreground);
    attend_end(&exec.attendance);
    if (exec.join.pidfd >= 0)
        close(exec.join.pidfd);
    record_close(&exec.record);
    seccomp_program_release(&exec.seccomp);
    exec_process_release(&exec.process);
    return result;
}
