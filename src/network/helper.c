#include "network/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/installation.h"
#include "base/memory.h"
#include "base/scope.h"
#include "network/network_internal.h"

#define FIRST_DESCRIPTOR 3
#define END_MILLISECONDS 10000

char *helper_find(const char *program)
{
    /* Of a build tree: from hull, and from a program of the tests. */
    scope_free char *near = memory_format("../network/%s", program);
    scope_free char *far = memory_format("../../src/network/%s", program);
    scope_free char *installed = memory_format("%s/%s", HULL_LIBEXEC_DIRECTORY, program);
    const char *built[] = {near, far, NULL};
    return installation_find(built, installed);
}

struct launch {
    const char *const *argv;
    const int *descriptors;
    size_t count;
    int input, report;
};

/* In the new process: each descriptor first out of the way of the numbers that they get. */
static void execute(const struct launch *launch)
{
    int limit = FIRST_DESCRIPTOR + (int)launch->count;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    int report = fcntl(launch->report, F_DUPFD_CLOEXEC, limit);
    int input = fcntl(launch->input, F_DUPFD_CLOEXEC, limit);
    int *moved = memory_allocate(launch->count, sizeof *moved);
    for (size_t i = 0; i < launch->count; i++)
        moved[i] = fcntl(launch->descriptors[i], F_DUPFD_CLOEXEC, limit);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid = getpid();
    if (input < 0 || dup2(input, 0) < 0 || dup2(nothing, 1) < 0 || dup2(nothing, 2) < 0 ||
        chdir("/") < 0)
        _exit(127);
    for (size_t i = 0; i < launch->count; i++)
        if (dup2(moved[i], FIRST_DESCRIPTOR + (int)i) < 0)
            _exit(127);
    if (file_close_others(limit, &report, 1, NULL) < 0 ||
        file_write_all(report, &pid, sizeof pid) < 0)
        _exit(127);
    execv(launch->argv[0], (char *const *)launch->argv);
    _exit(127);
}

static int fork_twice(const struct launch *launch, struct error *err)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "can't make a process");
    if (pid == 0) {
        setsid();
        pid = fork();
        if (pid == 0)
            execute(launch);
        _exit(pid < 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

int helper_start(const char *const *argv, const int *descriptors, size_t count,
                 struct helper *helper, int *input, struct error *err)
{
    int report[2], feed[2];
    if (access(argv[0], X_OK) < 0)
        return error_set(err, errno, "can't execute %s", argv[0]);
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    scope_close int reading = report[0];
    scope_close int writing = report[1];
    /* Sockets, as writing to a pipe that nobody reads any more would kill. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, feed) < 0)
        return error_set(err, errno, "can't make a pair of sockets");
    scope_close int input_end = feed[0];
    scope_close int output_end = feed[1];
    const struct launch launch = {argv, descriptors, count, input_end, writing};
    if (fork_twice(&launch, err) < 0)
        return -1;
    scope_close_fd(&writing);
    writing = -1;
    if (read(reading, &helper->pid, sizeof helper->pid) != sizeof helper->pid)
        return error_set(err, 0, "can't start %s", argv[0]);
    helper->start = network_process_start(helper->pid);
    *input = scope_take_fd(&output_end);
    return 0;
}

int helper_tell(int input, const char *text, struct error *err)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t sent = send(input, text, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return error_set(err, errno, "a process that was just started has ended");
        text += sent;
        left -= (size_t)sent;
    }
    return 0;
}

int helper_open(const struct helper *helper)
{
    if (helper->pid <= 0)
        return -1;
    scope_close int fd = (int)syscall(SYS_pidfd_open, helper->pid, 0);
    /* Looked at while the descriptor holds the process: the number can't be another's since. */
    if (fd < 0 || network_process_start(helper->pid) != helper->start)
        return -1;
    /* One that has ended, and whose parent doesn't care. */
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (poll(&ended, 1, 0) == 1)
        return -1;
    return scope_take_fd(&fd);
}

int helper_stop(const struct helper *helper, struct error *err)
{
    scope_close int fd = helper_open(helper);
    if (fd < 0)
        return 0;
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return error_set(err, errno, "can't end process %d", (int)helper->pid);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (poll(&ended, 1, END_MILLISECONDS) == 0)
        return error_set(err, ETIMEDOUT, "process %d doesn't end", (int)helper->pid);
    return 0;
}
