/* hull-dns: the resolver of containers in networks of users, one process for all.
 *
 *     hull-dns RUN_ROOT/network
 *
 * Two processes: this one, with privileges, listens at descriptor 3 (dns.sock) for hull, opens
 * sockets at 127.0.0.11 (or where a virtual machine asks) inside of containers' namespaces, and
 * sees to it that the other runs. The other has the sockets and no privileges, and reads what
 * containers and servers send. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "network/dns_server.h"

#define LISTENER 3
#define NOBODY 65534
#define NAMES_LIMIT ((size_t)64 << 20)
#define ANSWER_MILLISECONDS 8000

/* A container whose namespace has sockets in the server. */
struct opened {
    char id[DNS_ID_SIZE];
    ino_t namespace; /* the container may be attached anew */
    bool listed;
};

struct supervisor {
    int directory, control;
    int own; /* the host's network namespace */
    pid_t server;
    struct opened *opened;
    size_t count;
};

static void serve(int control)
{
    struct error err = {0};
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        _exit(1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (file_close_others(3, &control, 1, NULL) < 0)
        _exit(1);
    _exit(dns_server_run(control, &err) < 0);
}

static int start_server(struct supervisor *supervisor, struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "can't make a pair of sockets");
    pid_t pid = fork();
    if (pid == 0)
        serve(ends[1]);
    close(ends[1]);
    supervisor->control = ends[0];
    supervisor->server = pid;
    supervisor->count = 0;
    return pid < 0 ? error_set(err, errno, "can't make a process") : 0;
}

static void stop_server(struct supervisor *supervisor)
{
    scope_close_fd(&supervisor->control);
    supervisor->control = -1;
    if (supervisor->server > 0) {
        kill(supervisor->server, SIGKILL);
        while (waitpid(supervisor->server, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    supervisor->server = 0;
}

static int send_descriptors(int control, const char *text, const int *fds, size_t count,
                            struct error *err)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } ancillary = {0};
    struct iovec bytes = {(char *)text, strlen(text) + 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
        return error_set(err, errno, "can't tell the serving process");
    return 0;
}

/* The address of a virtual machine's may not be there yet. */
static int bind_inside(int type, struct in_addr at)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr = at};
    int one = 1;
    scope_close int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        (type == SOCK_STREAM && listen(fd, 64) < 0))
        return -1;
    return scope_take_fd(&fd);
}

/* 1: it is no namespace, but the file that one was, or is going to be, pinned to. */
static int open_container(struct supervisor *supervisor, const struct dns_container *container,
                          int namespace, struct error *err)
{
    const char *id = container->id;
    if (setns(namespace, CLONE_NEWNET) < 0)
        return errno == EINVAL
                   ? 1
                   : error_set(err, errno, "can't enter the network namespace of container %.12s",
                               id);
    scope_close int udp = bind_inside(SOCK_DGRAM, container->asks_at);
    scope_close int tcp = bind_inside(SOCK_STREAM, container->asks_at);
    int code = errno;
    if (setns(supervisor->own, CLONE_NEWNET) < 0)
        _exit(1);
    if (udp < 0 || tcp < 0)
        return error_set(err, code, "can't listen in the network namespace of container %.12s", id);
    const int fds[2] = {udp, tcp};
    return send_descriptors(supervisor->control, id, fds, 2, err);
}

static struct opened *find_opened(struct supervisor *supervisor, const char *id)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (strcmp(supervisor->opened[i].id, id) == 0)
            return &supervisor->opened[i];
    supervisor->opened =
        memory_resize(supervisor->opened, supervisor->count + 1, sizeof *supervisor->opened);
    struct opened *opened = &supervisor->opened[supervisor->count++];
    *opened = (struct opened){0};
    snprintf(opened->id, sizeof opened->id, "%s", id);
    return opened;
}

static int open_if_new(struct supervisor *supervisor, const struct dns_container *container,
                       struct error *err)
{
    const char *id = container->id;
    struct stat status;
    scope_free char *path = memory_format("ns/%s", id);
    scope_close int namespace =
        openat(supervisor->directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct opened *opened = find_opened(supervisor, id);
    opened->listed = true;
    /* It may be gone again, or not be there yet: its detach or attach will tell. */
    if (namespace < 0 || fstat(namespace, &status) < 0 || status.st_ino == opened->namespace)
        return 0;
    int result = open_container(supervisor, container, namespace, err);
    if (result == 0)
        opened->namespace = status.st_ino;
    return result < 0 ? -1 : 0;
}

static void forget_unlisted(struct supervisor *supervisor)
{
    size_t kept = 0;
    for (size_t i = 0; i < supervisor->count; i++) {
        if (supervisor->opened[i].listed)
            supervisor->opened[kept++] = supervisor->opened[i];
    }
    supervisor->count = kept;
    for (size_t i = 0; i < kept; i++)
        supervisor->opened[i].listed = false;
}

static int wait_for_server(struct supervisor *supervisor, struct error *err)
{
    char text[ERROR_TEXT_SIZE] = "";
    struct pollfd ready = {.fd = supervisor->control, .events = POLLIN};
    if (poll(&ready, 1, ANSWER_MILLISECONDS) == 0)
        return error_set(err, ETIMEDOUT, "the serving process doesn't answer");
    ssize_t length = recv(supervisor->control, text, sizeof text - 1, 0);
    if (length <= 0)
        return error_set(err, 0, "the serving process ended");
    return text[0] == '+' ? 0 : error_set(err, 0, "%s", text + 1);
}

/* Reads the file, and brings the server to it. *asking: how many containers it names. */
static int update(struct supervisor *supervisor, size_t *asking, struct error *err)
{
    struct dns_names names;
    scope_close int file = openat(supervisor->directory, "names", O_RDONLY | O_CLOEXEC);
    *asking = 0;
    if (file < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open the file of names");
    scope_free char *text = file_read_all_fd(file, "the file of names", NAMES_LIMIT, NULL, err);
    if (!text || dns_names_parse(&names, text, err) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; result == 0 && i < names.container_count; i++)
        result = open_if_new(supervisor, &names.containers[i], err);
    forget_unlisted(supervisor);
    *asking = names.container_count;
    dns_names_release(&names);
    if (result < 0 || lseek(file, 0, SEEK_SET) < 0 ||
        send_descriptors(supervisor->control, "", &file, 1, err) < 0)
        return -1;
    return wait_for_server(supervisor, err);
}

/* False: there is nothing left to do. */
static bool handle_client(struct supervisor *supervisor)
{
    struct error err = {0};
    char byte, text[ERROR_TEXT_SIZE + 1] = "+";
    size_t asking;
    scope_close int client = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0 || recv(client, &byte, 1, 0) != 1)
        return true;
    if (update(supervisor, &asking, &err) < 0)
        snprintf(text, sizeof text, "-%s", err.text);
    else if (asking == 0)
        stop_server(supervisor); /* whose sockets keep namespaces alive, before hull goes on */
    send(client, text, strlen(text), MSG_NOSIGNAL);
    return text[0] == '-' || asking > 0;
}

static int supervise(struct supervisor *supervisor, struct error *err)
{
    size_t asking;
    int quick_ends = 0;
    if (start_server(supervisor, err) < 0)
        return -1;
    for (;;) {
        struct pollfd ready[2] = {{.fd = LISTENER, .events = POLLIN},
                                  {.fd = supervisor->control, .events = POLLIN}};
        if (poll(ready, 2, 10000) == 0)
            quick_ends = 0;
        if (ready[1].revents) { /* it has died */
            stop_server(supervisor);
            if (++quick_ends > 5 || start_server(supervisor, err) < 0 ||
                update(supervisor, &asking, err) < 0)
                return -1;
        }
        if (ready[0].revents && !handle_client(supervisor)) {
            stop_server(supervisor);
            return 0;
        }
    }
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct supervisor supervisor = {.control = -1};
    if (argc != 2) {
        fprintf(stderr, "usage: hull-dns DIRECTORY (started by hull)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    fcntl(LISTENER, F_SETFD, FD_CLOEXEC);
    supervisor.directory = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    supervisor.own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (supervisor.directory >= 0 && supervisor.own >= 0 && supervise(&supervisor, &err) == 0)
        return 0;
    stop_server(&supervisor);
    return 1;
}
