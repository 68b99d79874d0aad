#include "container/client_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"

int client_socket_connect(const char *what, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    scope_close int target = open(path, O_PATH | O_CLOEXEC);
    scope_close int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (target < 0 || connection < 0)
        return error_set(err, errno, "can't open the %s socket %s", what, path);
    /* Paths of sockets may be longer than sun_path; the descriptor's isn't. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) < 0)
        return error_set(err, errno, "can't connect to the %s socket %s", what, path);
    return scope_take_fd(&connection);
}

int client_socket_send(int connection, int descriptor, const char *name, struct error *err)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(int))}};
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    struct iovec part = {(void *)name, strlen(name)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.bytes};
    if (sendmsg(connection, &message, MSG_NOSIGNAL) < 0)
        return error_set(err, errno, "can't send %s to the client's socket", name);
    return 0;
}

int client_socket_send_process(const char *path, pid_t pid, struct error *err)
{
    if (!path)
        return 0;
    scope_close int connection = client_socket_connect("pidfd", path, err);
    if (connection < 0)
        return -1;
    scope_close int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return error_set(err, errno, "can't open process %d", pid);
    return client_socket_send(connection, pidfd, "pidfd", err);
}
