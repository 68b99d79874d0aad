#include "container/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* One direction of the terminal's traffic. The buffer decouples the two ends: a reader that
 * doesn't read stops one direction, never the attending. */
struct stream {
    int from, to; /* from -1: ended */
    size_t used;
    char bytes[8192];
};

void foreground_begin(struct foreground *foreground)
{
    sigset_t all;
    memset(foreground, 0, sizeof *foreground);
    sigfillset(&all);
    /* What our own mistakes raise must not wait in a queue. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGABRT);
    sigprocmask(SIG_BLOCK, &all, &foreground->previous_mask);
    foreground->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

void foreground_end(struct foreground *foreground)
{
    if (foreground->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &foreground->previous_terminal);
    /* What came while the container was being deleted is too late for anybody, and would hide the
     * program's status. */
    struct signalfd_siginfo late;
    while (foreground->signals >= 0 && read(foreground->signals, &late, sizeof late) > 0)
        ;
    if (foreground->signals >= 0)
        close(foreground->signals);
    sigprocmask(SIG_SETMASK, &foreground->previous_mask, NULL);
}

static void copy_window_size(int master)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

static void make_raw(struct foreground *foreground, int master)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &foreground->previous_terminal) < 0)
        return; /* not a terminal: a script feeds us */
    raw = foreground->previous_terminal;
    cfmakeraw(&raw);
    raw.c_oflag |= foreground->previous_terminal.c_oflag & OPOST;
    foreground->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
    copy_window_size(master);
}

/* Returns true when the program has ended. */
static bool take_signals(struct foreground *foreground, pid_t pid, int master, int *status)
{
    struct signalfd_siginfo info;
    while (read(foreground->signals, &info, sizeof info) == sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGCHLD)
            continue; /* looked at below: one may stand for many */
        if (number == SIGWINCH && master >= 0)
            copy_window_size(master);
        else if (number != SIGPIPE && number != SIGURG)
            kill(pid, number);
    }
    return waitpid(pid, status, WNOHANG) == pid;
}

static void fill(struct stream *stream)
{
    ssize_t count =
        read(stream->from, stream->bytes + stream->used, sizeof stream->bytes - stream->used);
    if (count > 0)
        stream->used += (size_t)count;
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        stream->from = -1; /* a master reads EIO once nobody has the slave open */
}

static void drain(struct stream *stream)
{
    ssize_t count = write(stream->to, stream->bytes, stream->used);
    if (count > 0) {
        memmove(stream->bytes, stream->bytes + count, stream->used - (size_t)count);
        stream->used -= (size_t)count;
    } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
        stream->used = 0; /* nobody is there to read it */
    }
}

/* What the program wrote before it ended is still in the terminal. */
static void flush_output(struct stream *output)
{
    while (output->from >= 0 || output->used > 0) {
        struct pollfd polled = {output->used ? output->to : output->from,
                                output->used ? POLLOUT : POLLIN, 0};
        if (poll(&polled, 1, output->used ? 1000 : 0) <= 0)
            return;
        if (output->used)
            drain(output);
        else
            fill(output);
    }
}

static int shell_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int foreground_attend(struct foreground *foreground, pid_t pid, int master, int *exit_status,
                      struct error *err)
{
    struct stream input = {.from = master >= 0 ? STDIN_FILENO : -1, .to = master};
    struct stream output = {.from = master, .to = STDOUT_FILENO};
    int status = 0;
    if (master >= 0) {
        fcntl(master, F_SETFL, O_NONBLOCK);
        make_raw(foreground, master);
    }
    while (!take_signals(foreground, pid, master, &status)) {
        bool may_fill_input = input.from >= 0 && input.used < sizeof input.bytes;
        bool may_fill_output = output.from >= 0 && output.used < sizeof output.bytes;
        struct pollfd polled[5] = {
            {foreground->signals, POLLIN, 0},
            {may_fill_input ? input.from : -1, POLLIN, 0},
            {input.used ? input.to : -1, POLLOUT, 0},
            {may_fill_output ? output.from : -1, POLLIN, 0},
            {output.used ? output.to : -1, POLLOUT, 0},
        };
        if (poll(polled, 5, -1) < 0 && errno != EINTR)
            return error_set(err, errno, "can't wait for the program");
        if (polled[1].revents)
            fill(&input);
        if (polled[2].revents)
            drain(&input);
        if (polled[3].revents)
            fill(&output);
        if (polled[4].revents)
            drain(&output);
    }
    flush_output(&output);
    *exit_status = shell_status(status);
    return 0;
}
