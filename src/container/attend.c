#include "container/attend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/channel.h"
#include "container/client_socket.h"
#include "container/hooks.h"
#include "container/seccomp.h"
#include "container/state.h"

/* linux/sched.h of the kernel, not of its interface: forked, but not executed anything. */
#define PF_FORKNOEXEC 0x40

static int let_go_on(struct attendance *attendance, struct error *err)
{
    if (channel_send(attendance->channel, CHANNEL_GO, 0) < 0)
        return error_set(err, errno, "the process died while it was waiting");
    return 0;
}

static int run_hooks(struct attendance *attendance, struct error *err)
{
    json_t *state = state_document(attendance->header, "creating", attendance->pid);
    int result =
        hooks_run(attendance->config, CONFIG_HOOK_PRESTART, state, attendance->record, err);
    if (result == 0)
        result = hooks_run(attendance->config, CONFIG_HOOK_CREATE_RUNTIME, state,
                           attendance->record, err);
    json_decref(state);
    return result < 0 ? -1 : let_go_on(attendance, err);
}

static int take_terminal(struct attendance *attendance, const struct channel_message *message,
                         struct error *err)
{
    if (message->descriptor_count != 1)
        return error_set(err, EPROTO, "the process sent no terminal");
    scope_close int master = message->descriptors[0];
    if (attendance->console < 0) {
        attendance->terminal = scope_take_fd(&master);
        return 0;
    }
    int result = client_socket_send(attendance->console, master, "/dev/ptmx", err);
    close(scope_take_fd(&attendance->console));
    return result;
}

/* Fetches the process's descriptor and gives it to the agent. Taken, not sent: by now each system
 * call of the process may have to be answered by the agent that waits for this descriptor. */
static int pass_listener(struct attendance *attendance, int number, struct error *err)
{
    const struct config_seccomp *seccomp = attendance->config->linux_section.seccomp;
    scope_close int pidfd = pidfd_open(attendance->pid, 0);
    scope_close int fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, number, 0);
    if (fd < 0)
        return error_set(err, errno, "can't fetch the seccomp listener");
    json_t *state = attendance->init
                        ? state_document(attendance->header, "running", attendance->init)
                        : state_document(attendance->header, "creating", attendance->pid);
    int result = seccomp_send_listener(seccomp->listener_path, fd, attendance->config->oci_version,
                                       attendance->pid, seccomp->listener_metadata, state, err);
    json_decref(state);
    return result < 0 ? -1 : let_go_on(attendance, err);
}

/* Has a process, of which only the status may be left, executed a program since it was made? The
 * kernel keeps that among its flags, field 9 of proc(5)'s stat. */
static bool has_executed(pid_t pid)
{
    char path[32];
    unsigned int flags;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    scope_free char *text = file_read_all(AT_FDCWD, path, 4096, NULL, NULL);
    const char *rest = text ? strrchr(text, ')') : NULL;
    return rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
           !(flags & PF_FORKNOEXEC);
}

/* The channel closes by execve, and by death. Our own child's status, which stays where it is,
 * tells the difference; a program may have died by a signal already, too. */
static bool was_killed(const struct attendance *attendance)
{
    siginfo_t info = {0};
    return attendance->ours &&
           waitid(P_PID, (id_t)attendance->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == attendance->pid && info.si_code != CLD_EXITED &&
           !has_executed(attendance->pid);
}

int attend(struct attendance *attendance, struct error *err)
{
    bool executes = attendance->ours;
    for (;;) {
        struct channel_message message;
        int result = 0;
        if (channel_receive(attendance->channel, &message) < 0)
            return error_set(err, errno, "can't hear from the process inside the container");
        switch (message.type) {
        case CHANNEL_HOOKS:
            result = run_hooks(attendance, err);
            break;
        case CHANNEL_CONSOLE:
            result = take_terminal(attendance, &message, err);
            break;
        case CHANNEL_LISTENER:
            result = pass_listener(attendance, message.number, err);
            break;
        case CHANNEL_READY:
            return 0;
        case CHANNEL_EXECUTES:
            executes = true;
            break;
        case CHANNEL_END:
            if (attendance->waits || !executes || was_killed(attendance))
                return error_set(err, 0, "the process inside the container died unexpectedly");
            return 0;
        default:
            error_set(err, 0, "%s", message.text);
            err->code = message.number;
            return -1;
        }
        if (result < 0)
            return -1;
    }
}

void attend_end(struct attendance *attendance)
{
    int *const descriptors[] = {&attendance->channel, &attendance->console, &attendance->terminal};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (*descriptors[i] >= 0)
            close(scope_take_fd(descriptors[i]));
    }
}
