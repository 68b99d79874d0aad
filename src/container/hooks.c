#include "container/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/signals.h"

struct hook_process {
    pid_t pid;
    int input, errors; /* our ends of its pipes; -1 when closed */
    char tail[400];    /* the last of what it wrote on its standard output and error */
    size_t tail_length;
};

static char **null_terminated(const struct config_strings *strings, const char *first)
{
    char **array = memory_allocate(strings->count + 2, sizeof *array);
    for (size_t i = 0; i < strings->count; i++)
        array[i] = (char *)strings->items[i];
    if (strings->count == 0)
        array[0] = (char *)first;
    return array;
}

static _Noreturn void execute(const struct config_hook *hook, const struct record *record,
                              int input, int errors)
{
    struct error err;
    extern char **environ;
    signals_reset();
    setpgid(0, 0);
    /* Its standard output isn't ours: that is the container's program's. */
    if (dup2(input, STDIN_FILENO) < 0 || dup2(errors, STDOUT_FILENO) < 0 ||
        dup2(errors, STDERR_FILENO) < 0)
        _exit(127);
    if (record && record_add_hook(record, &err) < 0) {
        dprintf(STDERR_FILENO, "%s", err.text);
        _exit(127);
    }
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    char **args = null_terminated(&hook->args, hook->path);
    execve(hook->path, args, hook->env.count ? null_terminated(&hook->env, NULL) : environ);
    dprintf(STDERR_FILENO, "can't execute: %s", strerror(errno));
    _exit(127);
}

static int start(struct hook_process *process, const struct config_hook *hook,
                 const struct record *record, struct error *err)
{
    int input[2], errors[2];
    if (pipe2(input, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    if (pipe2(errors, O_CLOEXEC) < 0) {
        close(input[0]);
        close(input[1]);
        return error_set(err, errno, "can't make a pipe");
    }
    process->pid = fork();
    if (process->pid == 0)
        execute(hook, record, input[0], errors[1]);
    int code = errno;
    close(input[0]);
    close(errors[1]);
    process->input = input[1];
    process->errors = errors[0];
    fcntl(process->input, F_SETFL, O_NONBLOCK);
    return process->pid < 0 ? error_set(err, code, "can't fork") : 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Keeps the end: that is where programs say what was wrong. */
static void keep_tail(struct hook_process *process, const char *bytes, size_t count)
{
    size_t room = sizeof process->tail - 1;
    if (count > room) {
        bytes += count - room;
        count = room;
    }
    size_t kept = process->tail_length + count > room ? room - count : process->tail_length;
    memmove(process->tail, process->tail + process->tail_length - kept, kept);
    memcpy(process->tail + kept, bytes, count);
    process->tail_length = kept + count;
}

static long long now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* A hook that doesn't read its state may have ended already; SIGPIPE would end us, too. */
static ssize_t write_quietly(int fd, const char *bytes, size_t count)
{
    const struct timespec now = {0};
    sigset_t broken_pipe, before;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &broken_pipe, &before);
    ssize_t written = write(fd, bytes, count);
    int code = errno;
    if (written < 0 && code == EPIPE)
        sigtimedwait(&broken_pipe, NULL, &now);
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return written;
}

/* Feeds the state, collects what the hook says, and waits for its end. A descendant may hold the
 * pipes open for ever; only the hook itself counts. Returns -1 at the deadline. */
static int attend(struct hook_process *process, int pidfd, const char *state, long long deadline)
{
    size_t left = strlen(state);
    for (;;) {
        struct pollfd polled[3] = {
            {pidfd, POLLIN, 0}, {process->errors, POLLIN, 0}, {process->input, POLLOUT, 0}};
        long long wait = deadline < 0 ? -1 : deadline - now_milliseconds();
        if (deadline >= 0 && wait <= 0)
            return -1;
        if (poll(polled, 3, (int)wait) < 0 && errno != EINTR)
            return -1;
        if (polled[2].revents) {
            ssize_t written = write_quietly(process->input, state, left);
            if (written > 0) {
                state += written;
                left -= (size_t)written;
            }
            if (left == 0 || (written < 0 && errno != EAGAIN && errno != EINTR))
                close_end(&process->input);
        }
        if (polled[1].revents) {
            char bytes[512];
            ssize_t count = read(process->errors, bytes, sizeof bytes);
            if (count > 0)
                keep_tail(process, bytes, (size_t)count);
            else if (count == 0 || errno != EINTR)
                close_end(&process->errors);
        } else if (polled[0].revents) {
            return 0;
        }
    }
}

static void describe_tail(struct hook_process *process, struct error *err)
{
    while (process->tail_length > 0 && process->tail[process->tail_length - 1] == '\n')
        process->tail_length--;
    process->tail[process->tail_length] = '\0';
    for (char *c = process->tail; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
    if (!process->tail_length)
        return;
    struct error whole;
    error_set(&whole, 0, "%s: %s", err->text, process->tail);
    whole.code = err->code;
    *err = whole;
}

static int run_hook(const struct config_hook *hook, const char *state, const struct record *record,
                    struct error *err)
{
    struct hook_process process = {.input = -1, .errors = -1};
    if (start(&process, hook, record, err) < 0) {
        close_end(&process.input);
        close_end(&process.errors);
        return -1;
    }
    scope_close int pidfd = pidfd_open(process.pid, 0);
    long long deadline = hook->timeout.given ? now_milliseconds() + hook->timeout.value * 1000 : -1;
    bool late = attend(&process, pidfd, state, deadline) < 0;
    if (late) {
        kill(-process.pid, SIGKILL);
        kill(process.pid, SIGKILL);
    }
    int status;
    while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR)
        ;
    close_end(&process.input);
    close_end(&process.errors);
    if (late)
        error_set(err, 0, "%s did not end within %lld s and was killed", hook->path,
                  (long long)hook->timeout.value);
    else if (WIFSIGNALED(status))
        error_set(err, 0, "%s was killed by signal %d", hook->path, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        error_set(err, 0, "%s: exit status %d", hook->path, WEXITSTATUS(status));
    else
        return 0;
    describe_tail(&process, err);
    return -1;
}

/* Runs all; the first failure stops the rest unless failures are warnings. */
static int run_each(const struct config *config, enum config_hook_kind kind, const json_t *state,
                    const struct record *record, bool failures_warn,
                    const struct warnings *warnings, struct error *err)
{
    const struct config_hooks *hooks = &config->hooks[kind];
    if (hooks->count == 0)
        return 0;
    scope_free char *text = json_dumps(state, JSON_COMPACT);
    int result = 0;
    for (size_t i = 0; i < hooks->count && result == 0; i++) {
        if (run_hook(&hooks->items[i], text, record, err) == 0)
            continue;
        error_wrap(err, "%s hook %zu", config_hook_names[kind], i);
        if (failures_warn)
            warnings_say(warnings, err);
        else
            result = -1;
    }
    return result;
}

int hooks_run(const struct config *config, enum config_hook_kind kind, const json_t *state,
              const struct record *record, struct error *err)
{
    return run_each(config, kind, state, record, false, NULL, err);
}

void hooks_run_all(const struct config *config, enum config_hook_kind kind, const json_t *state,
                   const struct record *record, const struct warnings *warnings)
{
    struct error err;
    run_each(config, kind, state, record, true, warnings, &err);
}
