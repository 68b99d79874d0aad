#include "image/registry_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define OUTPUT_LIMIT (64 << 10)
#define NOT_FOUND "credentials not found in native keychain"

extern char **environ;

void registry_secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* The input as a file in memory: a helper that doesn't read it can't block or kill us. */
static int make_input(const char *input, struct error *err)
{
    scope_close int fd = memfd_create("credentials", MFD_CLOEXEC);
    if (fd < 0 || file_write_all(fd, input, strlen(input)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, errno, "can't hold a credential helper's input");
    return scope_take_fd(&fd);
}

static int spawn(const char *program, const char *verb, int input, int output, pid_t *pid)
{
    char *argv[] = {(char *)program, (char *)verb, NULL};
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (code == 0)
        code = posix_spawnp(pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads what a non-blocking pipe holds. 1: its end, 0: there may be more, -1 with errno. */
static int drain(int pipe, char *output, size_t *length)
{
    while (*length < OUTPUT_LIMIT) {
        ssize_t count = read(pipe, output + *length, OUTPUT_LIMIT - *length);
        if (count == 0)
            return 1;
        if (count < 0 && errno == EAGAIN)
            return 0;
        if (count < 0 && errno != EINTR)
            return -1;
        if (count > 0)
            *length += (size_t)count;
    }
    errno = EFBIG;
    return -1;
}

/* Reads until the program has ended: its children may keep the pipe open. */
static int read_output(int process, int pipe, int seconds, char *output, size_t *length)
{
    const int64_t deadline = milliseconds_now() + (int64_t)seconds * 1000;
    struct pollfd ready[] = {{.fd = process, .events = POLLIN}, {.fd = pipe, .events = POLLIN}};
    for (;;) {
        int64_t left = deadline - milliseconds_now();
        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (poll(ready, 2, (int)left) < 0 && errno != EINTR)
            return -1;
        bool ended = ready[0].revents != 0;
        int status = ready[1].fd < 0 ? 0 : drain(pipe, output, length);
        if (status < 0)
            return -1;
        if (ended)
            return 0;
        if (status > 0)
            ready[1].fd = -1;
    }
}

/* Reads and reaps; the program has ended when this returns. *status as of waitpid(2). */
static int attend(pid_t pid, int pipe, int seconds, char *output, size_t *length, int *status)
{
    scope_close int process = pidfd_open(pid, 0);
    int result = process < 0 ? -1 : read_output(process, pipe, seconds, output, length);
    int code = errno;
    if (result < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    errno = code;
    return result;
}

/* Its output's first line, in which it says what is wrong; printable. */
static void cut_first_line(char *output)
{
    output[strcspn(output, "\r\n")] = '\0';
    for (char *at = output; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

static int check_status(const char *program, const char *verb, int status, char *output,
                        struct error *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    cut_first_line(output);
    if (WIFSIGNALED(status))
        return error_set(err, 0, "%s %s was ended by signal %d", program, verb, WTERMSIG(status));
    error_set(err, 0, "%s %s failed with status %d%s%.200s", program, verb, WEXITSTATUS(status),
              *output ? ": " : "", output);
    if (err && strcmp(output, NOT_FOUND) == 0)
        err->code = ENODATA;
    return -1;
}

char *registry_helper_run(const char *name, const char *verb, const char *input, int seconds,
                          struct error *err)
{
    if (!*name || strchr(name, '/')) {
        error_set(err, 0, "'%s' is no name of a credential helper", name);
        return NULL;
    }
    scope_free char *program = memory_format("docker-credential-%s", name);
    scope_close int stdin_file = make_input(input, err);
    if (stdin_file < 0)
        return NULL;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set(err, errno, "can't make a pipe for %s", program);
        return NULL;
    }
    scope_close int from = ends[0];
    scope_close int to = ends[1];
    fcntl(from, F_SETFL, O_NONBLOCK);
    pid_t pid;
    int code = spawn(program, verb, stdin_file, to, &pid), status;
    if (code != 0) {
        error_set(err, code,
                  "can't run %s (install it, or correct credsStore and credHelpers in "
                  "docker's config.json)",
                  program);
        return NULL;
    }
    close(to);
    to = -1;
    scope_secret char *output = memory_allocate(OUTPUT_LIMIT + 1, 1);
    size_t length = 0;
    if (attend(pid, from, seconds, output, &length, &status) < 0) {
        error_set(err, errno, "%s %s was stopped", program, verb);
        return NULL;
    }
    if (check_status(program, verb, status, output, err) < 0)
        return NULL;
    return scope_take_pointer(output);
}
