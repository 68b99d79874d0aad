#include "container/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/rootpath.h"

/* The image could have put anything there; the multiplexer of a devpts is a certain device. */
static bool is_multiplexer(int fd)
{
    struct stat status;
    struct statfs file_system;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2) &&
           fstatfs(fd, &file_system) == 0 && file_system.f_type == DEVPTS_SUPER_MAGIC;
}

/* Looked at before it is opened: opening a device can have effects. And after, because meanwhile
 * it may have become another. Not by way of /proc, which is the image's, too. */
static int open_multiplexer(int root, struct error *err)
{
    static const char path[] = "/dev/pts/ptmx";
    const int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    scope_close int node = rootpath_open(root, path, O_PATH);
    bool outside = node < 0 && (errno == ENOENT || errno == ENOTDIR);
    if (outside)
        node = open(path, O_PATH | O_CLOEXEC);
    if (node < 0)
        return error_set(err, errno, "can't open /dev/pts/ptmx for a terminal");
    if (!is_multiplexer(node))
        return error_set(err, 0, "can't open a terminal: /dev/pts/ptmx is not a devpts's");
    scope_close int master = outside ? open(path, flags) : rootpath_open(root, path, flags);
    if (master < 0 || fcntl(master, F_SETFL, 0) < 0)
        return error_set(err, errno, "can't open /dev/pts/ptmx for a terminal");
    if (!is_multiplexer(master))
        return error_set(err, 0, "can't open a terminal: /dev/pts/ptmx is not a devpts's");
    return scope_take_fd(&master);
}

/* Lines end in a single newline on their way to a pipe; the runtime's own terminal, if it has one,
 * adds the carriage return. */
static int leave_newlines_alone(int terminal, struct error *err)
{
    struct termios settings;
    if (tcgetattr(terminal, &settings) < 0)
        return error_set(err, errno, "can't read the terminal's settings");
    settings.c_oflag &= ~(tcflag_t)ONLCR;
    if (tcsetattr(terminal, TCSANOW, &settings) < 0)
        return error_set(err, errno, "can't change the terminal's settings");
    return 0;
}

int console_open(int root, const struct config_process *process, bool ours, int *master, int *slave,
                 struct error *err)
{
    scope_close int opened = open_multiplexer(root, err);
    if (opened < 0)
        return -1;
    int unlock = 0;
    if (ioctl(opened, TIOCSPTLCK, &unlock) < 0)
        return error_set(err, errno, "can't unlock the terminal");
    /* By the master's descriptor: no name that somebody could have put something else under. */
    scope_close int peer = ioctl(opened, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (peer < 0)
        return error_set(err, errno, "can't open the terminal");
    if (ours && leave_newlines_alone(peer, err) < 0)
        return -1;
    /* What we attend to shows on the terminal that is still our own standard input, and has its
     * size: set here, where the program can't be there yet to see another one. */
    struct winsize size = {.ws_row = process->console_height, .ws_col = process->console_width};
    bool known = (ours && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) || process->has_console_size;
    if (known && ioctl(opened, TIOCSWINSZ, &size) < 0)
        return error_set(err, errno, "can't set the terminal's size");
    *master = scope_take_fd(&opened);
    *slave = scope_take_fd(&peer);
    return 0;
}

int console_adopt(int slave, struct error *err)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return error_set(err, errno, "can't make the terminal the controlling one");
    for (int fd = 0; fd <= 2; fd++) {
        if (dup2(slave, fd) < 0)
            return error_set(err, errno, "can't make the terminal standard stream %d", fd);
    }
    return 0;
}
