/* A process that goes on when its verb has ended: a machine's keeper, or who relays a process of
 * `exec`. It becomes the child of the subreaper above us, who gets its pid from --pid-file and its
 * status from wait(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "container/client_socket.h"
#include "container/console.h"
#include "container/pid_file.h"
#include "vm/runtime/verb.h"

/* The guest's terminal does all that terminals do; ours only carries. */
static int open_terminal(const struct detached_options *options, int *master, int *slave,
                         struct error *err)
{
    struct termios raw;
    struct winsize size = {.ws_row = options->rows, .ws_col = options->columns};
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master < 0 || unlockpt(*master) < 0)
        return error_set(err, errno, "can't open a terminal");
    *slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0 || tcgetattr(*slave, &raw) < 0)
        return error_set(err, errno, "can't open the terminal");
    cfmakeraw(&raw);
    if (tcsetattr(*slave, TCSANOW, &raw) < 0 ||
        (options->rows > 0 && ioctl(*master, TIOCSWINSZ, &size) < 0))
        return error_set(err, errno, "can't set the terminal up");
    return 0;
}

/* As fork(2). A process that moves to a v2 cgroup waits for the kernel's RCU, one that begins there
 * doesn't. */
static pid_t fork_into(int cgroup)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    if (cgroup >= 0) {
        args.flags = CLONE_INTO_CGROUP;
        args.cgroup = (unsigned int)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

struct pipes {
    int go[2], ready[2];
};

/* In the new process: waits to be recorded; ends with its maker if that is killed before. */
_Noreturn static void become(const struct detached_options *options, const struct pipes *pipes,
                             int slave)
{
    char byte;
    struct error err = {0};
    close(pipes->go[1]);
    close(pipes->ready[0]);
    if (read(pipes->go[0], &byte, 1) != 1)
        _exit(1);
    close(pipes->go[0]);
    setsid();
    if (slave >= 0 && console_adopt(slave, &err) < 0) {
        file_write_all(pipes->ready[1], err.text, strlen(err.text));
        _exit(1);
    }
    options->run(options->context, pipes->ready[1]);
    _exit(1);
}

static int await_ready(int ready, struct error *err)
{
    struct error unreadable;
    scope_free char *text =
        file_read_all_fd(ready, "the process's word", ERROR_TEXT_SIZE, NULL, &unreadable);
    if (!text)
        return error_set(err, 0, "%s", unreadable.text);
    return *text ? error_set(err, 0, "%s", text) : 0;
}

static int follow(const struct verb_context *context, const struct detached_options *options,
                  const struct pipes *pipes, pid_t pid, struct error *err)
{
    const char *pid_file = command_value(context->line, "pid-file");
    char state = 0;
    if (options->note && options->note(options->context, pid, err) < 0)
        return -1;
    if (write(pipes->go[1], &state, 1) != 1)
        return error_set(err, errno, "the process has vanished");
    if (await_ready(pipes->ready[0], err) < 0)
        return -1;
    if (waitpid(pid, NULL, WNOHANG) == pid)
        return error_set(err, 0, "the process has ended at once");
    return pid_file ? pid_file_write(pid_file, pid, err) : 0;
}

int detach_process(const struct verb_context *context, const struct detached_options *options,
                   struct error *err)
{
    const char *console = command_value(context->line, "console-socket");
    struct pipes pipes;
    scope_close int client = -1, master = -1, slave = -1;
    if (options->has_terminal != (console != NULL))
        return error_set(err, 0,
                         options->has_terminal
                             ? "the process has a terminal: --console-socket is missing"
                             : "--console-socket is for a process with a terminal");
    if (console && ((client = client_socket_connect("console", console, err)) < 0 ||
                    open_terminal(options, &master, &slave, err) < 0))
        return -1;
    if (pipe2(pipes.go, O_CLOEXEC) < 0 || pipe2(pipes.ready, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t pid = fork_into(options->cgroup);
    if (pid == 0) {
        scope_close_fd(&master);
        scope_close_fd(&client);
        become(options, &pipes, slave);
    }
    close(pipes.go[0]);
    close(pipes.ready[1]);
    if (pid < 0)
        return error_set(err, errno, "can't make a process");
    int status = follow(context, options, &pipes, pid, err);
    if (status == 0 && console)
        status = client_socket_send(client, master, "terminal", err);
    if (status < 0)
        kill(pid, SIGKILL);
    return status;
}
