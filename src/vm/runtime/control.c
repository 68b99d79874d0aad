#include "vm/runtime/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

#define ASK_MS 5000 /* within which who has connected asks */

/* Paths may be longer than sun_path: the directory's descriptor stands for it. */
static int address_of(const char *path, struct sockaddr_un *address, struct error *err)
{
    const char *name = strrchr(path, '/') + 1;
    scope_free char *above = memory_format("%.*s", (int)(name - path), path);
    scope_close int directory = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't open %s", above);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s",
                          directory, name);
    if (length >= (int)sizeof address->sun_path)
        return error_set(err, ENAMETOOLONG, "can't use the socket %s", path);
    return scope_take_fd(&directory);
}

int control_ask(const char *path, const char *word, int timeout, char answer[CONTROL_ANSWER_SIZE],
                struct error *err)
{
    struct sockaddr_un address;
    char buffer[CONTROL_ANSWER_SIZE + 1];
    scope_close int directory = address_of(path, &address, err);
    scope_close int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (directory < 0)
        return -1;
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(connection, word, strlen(word), MSG_NOSIGNAL) < 0)
        return error_set(err, errno, "can't reach the machine's keeper");
    struct pollfd answered = {.fd = connection, .events = POLLIN};
    if (poll(&answered, 1, timeout) == 0)
        return error_set(err, ETIMEDOUT, "the machine's keeper doesn't answer");
    ssize_t length = recv(connection, buffer, CONTROL_ANSWER_SIZE, 0);
    if (length <= 0)
        return error_set(err, 0, "the machine has ended");
    buffer[length] = '\0';
    if (*buffer != '+')
        return error_set(err, 0, "%s", buffer + 1);
    if (answer)
        memcpy(answer, buffer + 1, (size_t)length);
    return 0;
}

static void on_connection(struct loop_source *source, uint32_t events)
{
    struct control_server *server = loop_owner(source, struct control_server, listener);
    char word[32];
    (void)events;
    int connection = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    /* Only root reaches the socket: who connects, asks. */
    struct pollfd asks = {.fd = connection, .events = POLLIN};
    ssize_t length = poll(&asks, 1, ASK_MS) == 1 ? recv(connection, word, sizeof word - 1, 0) : -1;
    if (length <= 0) {
        close(connection);
        return;
    }
    word[length] = '\0';
    server->asked(server, connection, word);
}

int control_listen(struct control_server *server, struct loop *loop, const char *path,
                   struct error *err)
{
    struct sockaddr_un address;
    scope_close int directory = address_of(path, &address, err);
    if (directory < 0)
        return -1;
    server->loop = loop;
    server->listener = (struct loop_source){.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
                                            .ready = on_connection};
    unlink(path);
    if (server->listener.fd < 0 ||
        bind(server->listener.fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(path, 0600) < 0 || listen(server->listener.fd, 16) < 0)
        return error_set(err, errno, "can't listen at %s", path);
    loop_watch(loop, &server->listener, EPOLLIN);
    return 0;
}

void control_answer(int connection, const char *text, const struct error *failure)
{
    char answer[CONTROL_ANSWER_SIZE];
    int length = snprintf(answer, sizeof answer, "%c%s", failure ? '-' : '+',
                          failure ? failure->text
                          : text  ? text
                                  : "");
    if (length >= (int)sizeof answer)
        length = sizeof answer - 1;
    send(connection, answer, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(connection);
}
