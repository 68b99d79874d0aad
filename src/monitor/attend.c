/* An attached client's loop: terminal or pipes on one side, the monitor on the other. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/protocol.h"

struct attendant {
    int connection;
    const struct monitor_attention *attention;
    int input, output, errors; /* -1 once they have ended */
    int signals;
    bool raw;
    struct termios terminal; /* as it was */
    sigset_t mask;           /* as it was */
    struct monitor_key_filter keys;
    bool owes_input; /* passed[0 … passed_length) waits for room; no bytes: the end of input */
    unsigned char passed[MONITOR_DATA_SIZE];
    size_t passed_length;
    struct monitor_outcome *outcome;
};

/* ---- signals ---- */

/* Not those that stand for an error of ours, or for what a shell does with us. */
static bool is_passed(int number)
{
    static const int kept[] = {SIGKILL, SIGSTOP, SIGCHLD,  SIGSEGV, SIGBUS,  SIGFPE,
                               SIGILL,  SIGABRT, SIGTRAP,  SIGPIPE, SIGTSTP, SIGTTIN,
                               SIGTTOU, SIGCONT, SIGWINCH, SIGURG,  SIGSYS};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (kept[i] == number)
            return false;
    }
    return true;
}

static int watch_signals(struct attendant *attendant, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    if (attendant->attention->terminal)
        sigaddset(&set, SIGWINCH);
    for (int number = 1; attendant->attention->pass_signals && number < 32; number++) {
        if (is_passed(number))
            sigaddset(&set, number);
    }
    sigprocmask(SIG_BLOCK, &set, &attendant->mask);
    attendant->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return attendant->signals < 0 ? error_set(err, errno, "can't receive signals") : 0;
}

static void pass_size(const struct attendant *attendant)
{
    struct winsize size;
    const struct monitor_attention *attention = attendant->attention;
    int from = isatty(attention->output) ? attention->output : attention->input;
    if (attention->terminal && from >= 0 && ioctl(from, TIOCGWINSZ, &size) == 0 && size.ws_row)
        monitor_resize(attention->run_directory, size.ws_row, size.ws_col, NULL);
}

static void take_signal(struct attendant *attendant)
{
    struct signalfd_siginfo info;
    if (read(attendant->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGWINCH)
        pass_size(attendant);
    else
        monitor_kill(attendant->attention->run_directory, (int)info.ssi_signo, NULL);
}

/* ---- the terminal ---- */

static void make_raw(struct attendant *attendant)
{
    struct termios settings;
    if (!attendant->attention->terminal || attendant->input < 0 ||
        tcgetattr(attendant->input, &attendant->terminal) < 0)
        return;
    settings = attendant->terminal;
    cfmakeraw(&settings);
    /* The container's terminal knows what a newline is; ours shows it. */
    attendant->raw = tcsetattr(attendant->input, TCSADRAIN, &settings) == 0;
}

static void restore(struct attendant *attendant)
{
    if (attendant->raw)
        tcsetattr(attendant->attention->input, TCSADRAIN, &attendant->terminal);
    if (attendant->signals >= 0)
        close(attendant->signals);
    sigprocmask(SIG_SETMASK, &attendant->mask, NULL);
}

/* ---- input ---- */

/* Never waits for the monitor to take input: it may itself be waiting for us to take the output
 * that the input leads to. If the connection is broken, that is seen when its end is read. */
static void send_input(struct attendant *attendant)
{
    struct monitor_packet_header header = {MONITOR_INPUT};
    attendant->owes_input = protocol_send(attendant->connection, &header, attendant->passed,
                                          attendant->passed_length, MSG_DONTWAIT) < 0 &&
                            (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* 1: detached. 0: go on. */
static int pass_input(struct attendant *attendant)
{
    unsigned char bytes[MONITOR_DATA_SIZE - MONITOR_MAX_KEYS];
    ssize_t count = read(attendant->input, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (count <= 0) {
        attendant->input = -1;
        attendant->passed_length = 0;
        send_input(attendant);
        return 0;
    }
    bool detached = monitor_filter_keys(&attendant->keys, bytes, (size_t)count, attendant->passed,
                                        &attendant->passed_length);
    if (attendant->passed_length > 0)
        send_input(attendant);
    if (detached)
        attendant->outcome->end = MONITOR_END_DETACHED;
    return detached;
}

/* ---- output ---- */

/* A descriptor of the caller's may be non-blocking. */
static void write_output(int *fd, const char *bytes, size_t count)
{
    while (*fd >= 0 && count > 0) {
        ssize_t written = write(*fd, bytes, count);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd polled = {*fd, POLLOUT, 0};
            poll(&polled, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            *fd = -1;
        } else if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        }
    }
}

/* 1: the end. 0: go on. */
static int take_packet(struct attendant *attendant)
{
    struct monitor_packet packet;
    ssize_t size = protocol_receive(attendant->connection, &packet, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0) {
        /* It lives, but has no more to do with us. */
        attendant->outcome->end = monitor_is_alive(attendant->attention->run_directory)
                                      ? MONITOR_END_DROPPED
                                      : MONITOR_END_LOST;
        return 1;
    }
    switch (packet.header.type) {
    case MONITOR_REPLY_STDOUT:
        write_output(&attendant->output, packet.data, packet.length);
        return 0;
    case MONITOR_REPLY_STDERR:
        write_output(&attendant->errors, packet.data, packet.length);
        return 0;
    case MONITOR_REPLY_EXITED:
        attendant->outcome->end = MONITOR_END_EXITED;
        attendant->outcome->exit_code = packet.header.numbers[0];
        return 1;
    default:
        return 0; /* of a newer monitor */
    }
}

static int attend(struct attendant *attendant, struct error *err)
{
    for (;;) {
        bool owes = attendant->owes_input;
        struct pollfd polled[] = {{attendant->connection, POLLIN | (owes ? POLLOUT : 0), 0},
                                  {attendant->signals, POLLIN, 0},
                                  {owes ? -1 : attendant->input, POLLIN, 0}};
        if (poll(polled, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_set(err, errno, "can't wait for the container's output");
        }
        if ((polled[0].revents & ~POLLOUT) && take_packet(attendant))
            return 0;
        if (polled[0].revents & POLLOUT)
            send_input(attendant);
        if (polled[1].revents)
            take_signal(attendant);
        if (polled[2].revents && pass_input(attendant))
            return 0;
    }
}

int monitor_attend(int connection, const struct monitor_attention *attention,
                   struct monitor_outcome *outcome, struct error *err)
{
    const char *keys = attention->detach_keys ? attention->detach_keys : "ctrl-p,ctrl-q";
    struct attendant attendant = {.connection = connection,
                                  .attention = attention,
                                  .input = attention->input,
                                  .output = attention->output,
                                  .errors = attention->errors,
                                  .outcome = outcome};
    *outcome = (struct monitor_outcome){.end = MONITOR_END_LOST};
    int count = monitor_parse_keys(keys, attendant.keys.keys, MONITOR_MAX_KEYS, err);
    if (count < 0)
        return -1;
    /* Only a terminal's user types keys; a pipe's bytes are all the container's. */
    attendant.keys.count = attention->terminal && isatty(attention->input) ? (size_t)count : 0;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    int result = watch_signals(&attendant, err);
    if (result == 0) {
        make_raw(&attendant);
        pass_size(&attendant);
        result = attend(&attendant, err);
    }
    restore(&attendant);
    sigaction(SIGPIPE, &before, NULL);
    return result;
}
