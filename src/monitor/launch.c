/* Starting a monitor: forked twice, so that nobody has to wait for it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/monitor.h"

#define REPORT_FD 3

/* In the monitor's process. */
static void execute(const char *program, const char *run_directory, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    int nothing = open("/dev/null", O_RDWR);
    /* First out of the way of the numbers that they get. */
    int moved = fcntl(report, F_DUPFD, REPORT_FD + 1);
    int silence = fcntl(nothing, F_DUPFD, REPORT_FD + 1);
    for (int fd = 0; fd < REPORT_FD; fd++) {
        if (silence < 0 || dup2(silence, fd) < 0)
            _exit(127);
    }
    if (moved < 0 || dup2(moved, REPORT_FD) < 0 ||
        file_close_others(REPORT_FD + 1, NULL, 0, NULL) < 0 || chdir("/") < 0)
        _exit(127);
    execl(program, "hull-monitor", run_directory, "3", (char *)NULL);
    char text[ERROR_TEXT_SIZE];
    snprintf(text, sizeof text, "-125 can't execute %s: %s", program, strerror(errno));
    file_write_all(REPORT_FD, text, strlen(text));
    _exit(127);
}

static int fork_twice(const char *program, const char *run_directory, int report, struct error *err)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "can't make a process for the monitor");
    if (pid == 0) {
        setsid();
        pid = fork();
        if (pid == 0)
            execute(program, run_directory, report);
        _exit(pid < 0);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_set(err, errno, "can't wait for the monitor's start");
    }
    return status == 0 ? 0 : error_set(err, EAGAIN, "can't make a process for the monitor");
}

pid_t monitor_start(const char *program, const char *run_directory, struct monitor_failure *failure,
                    struct error *err)
{
    int ends[2];
    char *text = NULL;
    if (failure)
        failure->exit_code = 125;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe for the monitor");
    scope_close int report = ends[0];
    int result = fork_twice(program, run_directory, ends[1], err);
    close(ends[1]);
    scope_free char *answer = result < 0 ? NULL
                                         : file_read_all_fd(report, "the monitor's report",
                                                            2 * ERROR_TEXT_SIZE, NULL, err);
    if (!answer)
        return -1;
    pid_t pid = answer[0] == '+' ? (pid_t)strtol(answer + 1, NULL, 10) : 0;
    if (pid > 0)
        return pid;
    if (answer[0] != '-')
        return error_set(err, 0, "the container's monitor was killed while it started");
    int code = (int)strtol(answer + 1, &text, 10);
    if (failure && code)
        failure->exit_code = code;
    return error_set(err, 0, "%s", *text == ' ' ? text + 1 : "the container's monitor failed");
}
