#include "cli/exec_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define BLOCK 16384

/* ---- beginning and end ---- */

static int make_pipe(struct exec_relay *relay, int stream, int *theirs, struct error *err)
{
    int both[2];
    if (pipe2(both, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    bool is_input = stream == STDIN_FILENO;
    relay->ends[stream] = both[is_input];
    *theirs = both[!is_input];
    fcntl(relay->ends[stream], F_SETFL, O_NONBLOCK);
    return 0;
}

static int make_streams(struct exec_relay *relay, struct error *err)
{
    relay->streams = (struct engine_exec_streams){-1, -1, -1, NULL};
    if (relay->terminal) {
        relay->streams.terminal = &relay->master;
        return 0;
    }
    if (relay->discards)
        return 0;
    if (relay->interactive && make_pipe(relay, STDIN_FILENO, &relay->streams.input, err) < 0)
        return -1;
    return make_pipe(relay, STDOUT_FILENO, &relay->streams.output, err) < 0 ||
                   make_pipe(relay, STDERR_FILENO, &relay->streams.errors, err) < 0
               ? -1
               : 0;
}

static int watch_signals(struct exec_relay *relay, struct error *err)
{
    static const int passed[] = {SIGCHLD, SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&set, passed[i]);
    sigprocmask(SIG_BLOCK, &set, &relay->mask);
    signal(SIGPIPE, SIG_IGN);
    relay->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return relay->signals < 0 ? error_set(err, errno, "can't receive signals") : 0;
}

int exec_relay_begin(struct exec_relay *relay, struct error *err)
{
    relay->master = relay->signals = -1;
    for (int i = 0; i < 3; i++)
        relay->ends[i] = -1;
    int count = monitor_parse_keys(relay->detach_keys ? relay->detach_keys : "ctrl-p,ctrl-q",
                                   relay->keys.keys, MONITOR_MAX_KEYS, err);
    if (count < 0)
        return -1;
    relay->keys.count = relay->terminal && isatty(STDIN_FILENO) ? (size_t)count : 0;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(err, errno, "can't become a subreaper");
    return watch_signals(relay, err) < 0 ? -1 : make_streams(relay, err);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void exec_relay_restore(struct exec_relay *relay)
{
    if (relay->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &relay->before);
    relay->raw = false;
}

void exec_relay_end(struct exec_relay *relay)
{
    exec_relay_restore(relay);
    for (int i = 0; i < 3; i++)
        close_end(&relay->ends[i]);
    close_end(&relay->master);
    if (relay->signals >= 0)
        sigprocmask(SIG_SETMASK, &relay->mask, NULL);
    close_end(&relay->signals);
    free(relay->pending);
    relay->pending = NULL;
}

void exec_relay_read_to_end(int master)
{
    char block[BLOCK];
    if (master < 0)
        return;
    fcntl(master, F_SETFL, 0);
    for (;;) {
        ssize_t count = read(master, block, sizeof block);
        if (count == 0 || (count < 0 && errno != EINTR))
            return;
    }
}

/* ---- our terminal ---- */

static void pass_size(const struct exec_relay *relay)
{
    struct winsize size;
    int from = isatty(STDOUT_FILENO) ? STDOUT_FILENO : STDIN_FILENO;
    if (relay->master >= 0 && ioctl(from, TIOCGWINSZ, &size) == 0 && size.ws_row)
        ioctl(relay->master, TIOCSWINSZ, &size);
}

static void make_raw(struct exec_relay *relay)
{
    struct termios settings;
    if (!relay->terminal || !relay->interactive || tcgetattr(STDIN_FILENO, &relay->before) < 0)
        return;
    settings = relay->before;
    cfmakeraw(&settings);
    relay->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) == 0;
}

/* ---- data ---- */

static int *process_input(struct exec_relay *relay)
{
    return relay->terminal ? &relay->master : &relay->ends[STDIN_FILENO];
}

/* Gives the process what it takes of the input that waits for it. */
static void flush_input(struct exec_relay *relay)
{
    int *to = process_input(relay);
    ssize_t written = write(*to, relay->pending, relay->pending_length);
    if (written < 0 && errno != EAGAIN && errno != EINTR) {
        relay->pending_length = 0; /* it has closed its input */
        if (!relay->terminal)
            close_end(to);
    }
    if (written <= 0)
        return;
    relay->pending_length -= (size_t)written;
    memmove(relay->pending, relay->pending + written, relay->pending_length);
}

/* True: the detach keys were typed. */
static bool take_input(struct exec_relay *relay, bool *is_open)
{
    unsigned char bytes[BLOCK];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (count <= 0) {
        *is_open = false;
        return false;
    }
    if (!relay->pending)
        relay->pending = memory_allocate(1, BLOCK + MONITOR_MAX_KEYS);
    bool typed = monitor_filter_keys(&relay->keys, bytes, (size_t)count,
                                     (unsigned char *)relay->pending, &relay->pending_length);
    flush_input(relay);
    return typed;
}

/* One block of output; false: that stream has ended, or has nothing now. Output that nobody takes
 * any more is dropped. */
static bool pass_output(int *from, int to)
{
    char block[BLOCK];
    ssize_t count = read(*from, block, sizeof block);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count <= 0) { /* a terminal that nobody has open any more says EIO */
        close_end(from);
        return false;
    }
    file_write_all(to, block, (size_t)count);
    return true;
}

/* What is there still when the process has ended. */
static void drain(struct exec_relay *relay)
{
    if (relay->master >= 0)
        while (pass_output(&relay->master, STDOUT_FILENO))
            continue;
    for (int stream = STDOUT_FILENO; stream <= STDERR_FILENO; stream++)
        while (relay->ends[stream] >= 0 && pass_output(&relay->ends[stream], stream))
            continue;
}

/* ---- the loop ---- */

/* True: the process has ended. */
static bool take_signal(struct exec_relay *relay, pid_t pid, int *status)
{
    struct signalfd_siginfo info;
    while (read(relay->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            pass_size(relay);
        else if (info.ssi_signo != SIGCHLD)
            kill(pid, (int)info.ssi_signo);
    }
    /* Others may become our children, too. */
    for (pid_t ended; (ended = waitpid(-1, status, WNOHANG)) > 0;)
        if (ended == pid)
            return true;
    return false;
}

static void close_theirs(struct exec_relay *relay)
{
    close_end(&relay->streams.input);
    close_end(&relay->streams.output);
    close_end(&relay->streams.errors);
}

/* 1: the process has ended; 0: detached; -1: failed. */
static int pass(struct exec_relay *relay, pid_t pid, int *status, struct error *err)
{
    bool is_open = relay->interactive;
    for (;;) {
        int *to = process_input(relay);
        bool waits = relay->pending_length > 0;
        if (!is_open && !waits && !relay->terminal)
            close_end(to);
        short master_events = (short)(POLLIN | (waits ? POLLOUT : 0));
        struct pollfd polled[] = {
            {relay->signals, POLLIN, 0},
            {is_open && !waits ? STDIN_FILENO : -1, POLLIN, 0},
            {relay->master, master_events, 0},
            {waits ? relay->ends[STDIN_FILENO] : -1, POLLOUT, 0},
            {relay->ends[STDOUT_FILENO], POLLIN, 0},
            {relay->ends[STDERR_FILENO], POLLIN, 0},
        };
        if (poll(polled, sizeof polled / sizeof *polled, -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_set(err, errno, "can't wait for the process");
        }
        if (polled[0].revents && take_signal(relay, pid, status))
            return 1;
        if (polled[2].revents & (POLLIN | POLLHUP | POLLERR))
            pass_output(&relay->master, STDOUT_FILENO);
        if (polled[4].revents)
            pass_output(&relay->ends[STDOUT_FILENO], STDOUT_FILENO);
        if (polled[5].revents)
            pass_output(&relay->ends[STDERR_FILENO], STDERR_FILENO);
        if (waits && *to >= 0 && ((polled[2].revents & POLLOUT) || polled[3].revents))
            flush_input(relay);
        if (polled[1].revents && take_input(relay, &is_open))
            return 0;
    }
}

int exec_relay_run(struct exec_relay *relay, pid_t pid, int *exit_status, bool *detached,
                   struct error *err)
{
    int status = 0;
    close_theirs(relay);
    if (relay->master >= 0)
        fcntl(relay->master, F_SETFL, O_NONBLOCK);
    make_raw(relay);
    pass_size(relay);
    int result = pass(relay, pid, &status, err);
    *detached = result == 0;
    if (result < 0)
        return -1;
    if (result == 0)
        return 0;
    drain(relay);
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}
