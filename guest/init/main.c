/* hull-guest-init: see guest.h. As process 1 of a machine it takes no arguments. For tests:
 *
 *     hull-guest-init --test SOCKET DIRECTORY
 *
 * runs as process 1 of namespaces of its own and listens on a Unix socket as Firecracker's host
 * side of vsock does. Its end: status 0 where it powered off, 3 where it restarted. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "guest.h"

void guest_log(const char *format, ...)
{
    char line[ERROR_TEXT_SIZE + 64];
    va_list args;
    va_start(args, format);
    int length = snprintf(line, sizeof line, "hull-guest-init: ");
    vsnprintf(line + length, sizeof line - (size_t)length - 1, format, args);
    va_end(args);
    strcat(line, "\n");
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

/* Every child that has ended, ours or an orphan. */
static void reap(struct loop_source *source, uint32_t events)
{
    struct guest *guest = loop_owner(source, struct guest, signals);
    struct signalfd_siginfo information;
    (void)events;
    while (read(source->fd, &information, sizeof information) > 0) {
        if (information.ssi_signo == SIGTERM)
            shutdown_begin(guest, SIGTERM, 10000, false);
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        process_reap(guest, pid, status);
}

static int watch_signals(struct guest *guest, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGPIPE); /* never looked at */
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "can't watch for signals");
    guest->signals = (struct loop_source){.fd = fd, .ready = reap};
    loop_watch(&guest->loop, &guest->signals, EPOLLIN);
    return 0;
}

static void read_options(struct guest *guest)
{
    scope_free char *port = machine_option("hull.port"), *power = machine_option("hull.power");
    int64_t number;
    if (port && quantity_read_integer(port, 1, UINT32_MAX - 1, &number))
        guest->port = (uint32_t)number;
    if (power && strcmp(power, "reset") == 0)
        guest->power = "reset";
}

static int run(struct guest *guest, const char *directory, struct error *err)
{
    if (machine_prepare(guest, directory, err) < 0)
        return -1;
    if (guest->is_machine)
        read_options(guest);
    if (loop_open(&guest->loop, err) < 0 || watch_signals(guest, err) < 0 ||
        server_listen(guest, err) < 0)
        return -1;
    /* For people who look on; it takes time, which `quiet` on the kernel's command line saves. */
    if (guest->is_machine && !machine_is_quiet())
        guest_log("version %s listens on port %u of vsock, %lld ms after the kernel began",
                  HULL_VERSION, guest->port, (long long)loop_now());
    loop_run(&guest->loop);
    return 0;
}

static _Noreturn void be_init(struct guest *guest, const char *directory)
{
    struct error err = {0};
    if (run(guest, directory, &err) < 0)
        guest_log("%s", err.text);
    machine_end(guest, guest->is_restart);
}

/* ---- tests ---- */

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0)
        return -1;
    return fd;
}

static int run_test(const char *socket_path, const char *directory)
{
    struct guest guest = {.cgroup = -1, .modules = -1, .port = AGENT_PORT, .power = "off"};
    guest.listener_fd = listen_on(socket_path);
    if (guest.listener_fd < 0) {
        guest_log("can't listen on %s: %s", socket_path, strerror(errno));
        return 1;
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0) {
        guest_log("can't make namespaces: %s", strerror(errno));
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_init(&guest, directory);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return 1;
    /* reboot(2), "Behavior inside PID namespaces" */
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT)
        return 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP ? 3 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--test") == 0)
        return run_test(argv[2], argv[3]);
    if (getpid() != 1) {
        guest_log("this is process 1 of a virtual machine of hull's");
        return 2;
    }
    struct guest guest = {.is_machine = true,
                          .listener_fd = -1,
                          .cgroup = -1,
                          .modules = -1,
                          .port = AGENT_PORT,
                          .power = "off"};
    be_init(&guest, NULL);
}
