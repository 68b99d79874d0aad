/* Receives a terminal over a console socket, as a container manager does:
 *
 *     console_receiver SOCKET [ROWS COLUMNS [TEXT]]
 *
 * gives the terminal that size, types TEXT, and shows what the terminal shows until it closes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int receive_descriptor(int connection)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char name[4096];
    struct iovec part = {name, sizeof name - 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int descriptor = -1;
    ssize_t length = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return descriptor;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0)
        return 2;
    int connection = accept(listener, NULL, NULL);
    int master = connection < 0 ? -1 : receive_descriptor(connection);
    if (master < 0 || !isatty(master))
        return 1;
    if (argc > 3) {
        struct winsize size = {.ws_row = (unsigned short)atoi(argv[2]),
                               .ws_col = (unsigned short)atoi(argv[3])};
        if (ioctl(master, TIOCSWINSZ, &size) < 0)
            return 1;
    }
    if (argc > 4 && write(master, argv[4], strlen(argv[4])) < 0)
        return 1;
    char bytes[4096];
    for (ssize_t count; (count = read(master, bytes, sizeof bytes)) > 0;)
        if (write(STDOUT_FILENO, bytes, (size_t)count) != count)
            return 1;
    return 0;
}
