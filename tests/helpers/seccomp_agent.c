/* A seccomp agent (config-linux.md, "Container Process State"):
 *
 *     seccomp_agent SOCKET FILE ERRNO
 *
 * receives one listener, writes the state that came with it into FILE, and answers each call that
 * the filter asks about with ERRNO, until the filter has no process left. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The descriptor comes with the first bytes; the state ends where the connection does. */
static int receive_listener(int connection, int file)
{
    int listener = -1;
    for (;;) {
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int))];
        } control;
        char bytes[4096];
        struct iovec part = {bytes, sizeof bytes};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (count <= 0)
            return listener;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_type == SCM_RIGHTS)
            memcpy(&listener, CMSG_DATA(header), sizeof listener);
        if (write(file, bytes, (size_t)count) != count)
            return -1;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 4 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(socket_fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(socket_fd, 4) < 0)
        return 2;
    int connection = accept(socket_fd, NULL, NULL);
    int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int listener = connection < 0 || file < 0 ? -1 : receive_listener(connection, file);
    if (listener < 0)
        return 1;
    close(file);
    for (;;) {
        struct pollfd polled = {listener, POLLIN, 0};
        if (poll(&polled, 1, -1) < 0 || polled.revents & POLLHUP)
            return 0;
        struct seccomp_notif request = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
            continue;
        struct seccomp_notif_resp answer = {.id = request.id, .error = -atoi(argv[3])};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
            return 1;
    }
}
