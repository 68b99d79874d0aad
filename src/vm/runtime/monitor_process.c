#include "vm/runtime/monitor_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/agent/dial.h"

#define API_SECONDS 10

static void read_words(struct monitor_process *monitor)
{
    char bytes[MONITOR_TAIL_SIZE];
    ssize_t count;
    while ((count = read(monitor->words.fd, bytes, sizeof bytes)) > 0) {
        size_t length = (size_t)count, kept = monitor->tail_length;
        if (kept + length > MONITOR_TAIL_SIZE)
            kept = MONITOR_TAIL_SIZE - length;
        memmove(monitor->tail, monitor->tail + monitor->tail_length - kept, kept);
        memcpy(monitor->tail + kept, bytes, length);
        monitor->tail_length = kept + length;
    }
    if (count == 0 || errno != EAGAIN)
        loop_watch(monitor->loop, &monitor->words, 0);
}

static void on_words(struct loop_source *source, uint32_t events)
{
    (void)events;
    read_words(loop_owner(source, struct monitor_process, words));
}

static void execute(const struct bundle *bundle, pid_t parent, int words)
{
    char owner[16];
    sigset_t none;
    snprintf(owner, sizeof owner, "%u", bundle->owner);
    const char *const argv[] = {
        bundle->monitor, "--jail",       bundle->jail,   "--uid",    owner,
        "--gid",         owner,          "--new-pid-ns", "--engine", bundle->engine,
        "--config-file", "/config.json", "--api-sock",   "/run/api", NULL};
    sigemptyset(&none);
    int nothing = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(nothing, STDIN_FILENO) < 0 || dup2(words, STDOUT_FILENO) < 0 ||
        dup2(words, STDERR_FILENO) < 0)
        _exit(127);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(bundle->monitor, (char *const *)(uintptr_t)argv);
    static const char message[] = "can't be executed\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(127);
}

int monitor_process_start(struct monitor_process *monitor, struct loop *loop,
                          const struct bundle *bundle, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    monitor->loop = loop;
    monitor->api = memory_format("%s/run/api", bundle->jail);
    monitor->words = (struct loop_source){.fd = ends[0], .ready = on_words};
    pid_t parent = getpid();
    monitor->pid = fork();
    if (monitor->pid == 0)
        execute(bundle, parent, ends[1]);
    close(ends[1]);
    if (monitor->pid < 0)
        return error_set(err, errno, "can't make a process for %s", bundle->monitor);
    loop_watch(loop, &monitor->words, EPOLLIN);
    return 0;
}

/* The line of a panic, or else the last one that says something, without what terminals would take
 * for orders. */
static char *telling_line(struct monitor_process *monitor)
{
    char *end = monitor->tail + monitor->tail_length;
    while (end > monitor->tail && strchr("\r\n \t", end[-1]))
        end--;
    *end = '\0';
    char *line = strstr(monitor->tail, "Kernel panic");
    if (!line) {
        line = strrchr(monitor->tail, '\n');
        line = line ? line + 1 : monitor->tail;
    }
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return line;
}

int monitor_process_explain(struct monitor_process *monitor, int status, struct error *err)
{
    read_words(monitor);
    const char *line = telling_line(monitor);
    if (*line)
        return error_set(err, 0, "the virtual machine has ended: %.800s", line);
    if (WIFSIGNALED(status))
        return error_set(err, 0,
                         "the virtual machine has ended: its monitor was killed by signal "
                         "%d",
                         WTERMSIG(status));
    return error_set(err, 0, "the virtual machine has ended before its program (status %d)",
                     WEXITSTATUS(status));
}

int monitor_process_pause(const struct monitor_process *monitor, bool pauses, struct error *err)
{
    char request[256], answer[512];
    char body[40];
    const struct timeval limit = {.tv_sec = API_SECONDS};
    snprintf(body, sizeof body, "{\"state\": \"%s\"}", pauses ? "Paused" : "Resumed");
    int length = snprintf(request, sizeof request,
                          "PATCH /vm HTTP/1.0\r\nHost: localhost\r\nContent-Type: "
                          "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          strlen(body), body);
    scope_close int connection = dial_connect(monitor->api, 0);
    if (connection < 0 ||
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        send(connection, request, (size_t)length, MSG_NOSIGNAL) != length)
        return error_set(err, errno, "can't reach the machine's monitor");
    ssize_t count = recv(connection, answer, sizeof answer - 1, 0);
    answer[count > 0 ? count : 0] = '\0';
    int code = 0;
    if (sscanf(answer, "HTTP/1.%*d %d", &code) == 1 && code == 204)
        return 0;
    const char *text = strstr(answer, "\r\n\r\n");
    return error_set(err, 0, "the machine's monitor refuses: %s",
                     text && text[4] ? text + 4 : "it doesn't answer");
}

void monitor_process_kill(const struct monitor_process *monitor)
{
    if (monitor->pid > 0)
        kill(monitor->pid, SIGKILL);
}
