#include "monitor/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"

static void close_source(struct streams *streams, struct loop_source *source)
{
    if (source->fd < 0)
        return;
    loop_watch(streams->loop, source, 0);
    close(source->fd);
    source->fd = -1;
}

/* ---- output ---- */

static void end_output(struct streams *streams, struct loop_source *source)
{
    close_source(streams, source);
    if (streams->has_ended || streams->output[0].fd >= 0 || streams->output[1].fd >= 0)
        return;
    streams->has_ended = true;
    streams->ended(streams);
}

static void read_output(struct loop_source *source, int stream, struct streams *streams)
{
    char bytes[MONITOR_DATA_SIZE];
    ssize_t count = read(source->fd, bytes, sizeof bytes);
    if (count > 0)
        streams->received(streams, stream, bytes, (size_t)count);
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        end_output(streams, source); /* a terminal that nobody has open any more says EIO */
}

static void read_first(struct loop_source *source, uint32_t events)
{
    (void)events;
    read_output(source, 1, loop_owner(source, struct streams, output[0]));
}

static void read_second(struct loop_source *source, uint32_t events)
{
    (void)events;
    read_output(source, 2, loop_owner(source, struct streams, output[1]));
}

void streams_hold(struct streams *streams, bool held)
{
    streams->held = held;
    for (int i = 0; i < 2; i++) {
        if (streams->output[i].fd >= 0)
            loop_watch(streams->loop, &streams->output[i], held ? 0 : EPOLLIN);
    }
}

/* ---- input ---- */

static void flush_input(struct streams *streams)
{
    while (streams->pending_length > 0) {
        ssize_t written = write(streams->input.fd, streams->pending, streams->pending_length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            loop_watch(streams->loop, &streams->input, EPOLLOUT);
            return;
        }
        if (written < 0) { /* nobody reads it any more */
            streams->pending_length = 0;
            close_source(streams, &streams->input);
            break;
        }
        streams->pending_length -= (size_t)written;
        memmove(streams->pending, streams->pending + written, streams->pending_length);
    }
    if (streams->input.fd >= 0)
        loop_watch(streams->loop, &streams->input, 0);
    if (streams->input_ends)
        close_source(streams, &streams->input);
    free(streams->pending);
    streams->pending = NULL;
    streams->input_taken(streams);
}

static void write_input(struct loop_source *source, uint32_t events)
{
    (void)events;
    flush_input(loop_owner(source, struct streams, input));
}

bool streams_takes_input(const struct streams *streams)
{
    return streams->pending_length == 0;
}

void streams_write(struct streams *streams, const char *bytes, size_t count)
{
    if (streams->input.fd < 0 || !streams->open_stdin || count == 0)
        return;
    streams->pending = memory_allocate(MONITOR_DATA_SIZE, 1);
    memcpy(streams->pending, bytes, count);
    streams->pending_length = count;
    flush_input(streams);
}

void streams_end_input(struct streams *streams)
{
    if (streams->terminal)
        return;
    streams->input_ends = true;
    if (streams->pending_length == 0)
        close_source(streams, &streams->input);
}

/* ---- making them ---- */

static int open_pipe(int *ours, int *theirs, bool we_read, uid_t owner, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe for the container");
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    if (owner != 0 && fchown(*theirs, owner, (gid_t)owner) < 0)
        return error_set(err, errno, "can't give the container its pipe");
    /* Ours alone: a program may be surprised by a pipe that doesn't block. */
    if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, errno, "can't set up a pipe for the container");
    return 0;
}

static int open_console(struct streams *streams, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, streams->console, sizeof address.sun_path - 1);
    unlink(streams->console);
    streams->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (streams->listener.fd < 0 ||
        bind(streams->listener.fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(streams->listener.fd, 1) < 0)
        return error_set(err, errno, "can't make the console socket");
    return 0;
}

int streams_open(struct streams *streams, struct error *err)
{
    streams_close(streams);
    streams->input = (struct loop_source){.fd = -1, .ready = write_input};
    streams->output[0] = (struct loop_source){.fd = -1, .ready = read_first};
    streams->output[1] = (struct loop_source){.fd = -1, .ready = read_second};
    streams->has_ended = streams->held = streams->input_ends = false;
    if (streams->terminal)
        return open_console(streams, err);
    if ((streams->open_stdin &&
         open_pipe(&streams->input.fd, &streams->child[0], false, streams->owner, err) < 0) ||
        open_pipe(&streams->output[0].fd, &streams->child[1], true, streams->owner, err) < 0 ||
        open_pipe(&streams->output[1].fd, &streams->child[2], true, streams->owner, err) < 0)
        return -1;
    streams_hold(streams, false);
    return 0;
}

static int receive_terminal(int connection)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char name[4096];
    struct iovec part = {name, sizeof name};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int master = -1;
    ssize_t length = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&master, CMSG_DATA(header), sizeof master);
    return master;
}

static int take_terminal(struct streams *streams, struct error *err)
{
    /* The runtime has ended: what it sent is there. */
    scope_close int connection = accept4(streams->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    int master = connection < 0 ? -1 : receive_terminal(connection);
    close_source(streams, &streams->listener);
    unlink(streams->console);
    if (master < 0)
        return error_set(err, errno, "the runtime sent no terminal");
    streams->output[0].fd = master;
    /* Another number, because a descriptor is watched once. */
    streams->input.fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
    if (streams->input.fd < 0 || fcntl(master, F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, errno, "can't set up the container's terminal");
    if (streams->rows || streams->columns)
        streams_resize(streams, streams->rows, streams->columns, NULL);
    streams_hold(streams, streams->held);
    return 0;
}

static void close_child_ends(struct streams *streams)
{
    for (int i = 0; i < 3; i++) {
        if (streams->child[i] >= 0)
            close(streams->child[i]);
        streams->child[i] = -1;
    }
}

int streams_given(struct streams *streams, struct error *err)
{
    close_child_ends(streams);
    return streams->terminal ? take_terminal(streams, err) : 0;
}

void streams_close(struct streams *streams)
{
    close_child_ends(streams);
    close_source(streams, &streams->listener);
    close_source(streams, &streams->input);
    close_source(streams, &streams->output[0]);
    close_source(streams, &streams->output[1]);
    free(streams->pending);
    streams->pending = NULL;
    streams->pending_length = 0;
}

int streams_resize(struct streams *streams, unsigned short rows, unsigned short columns,
                   struct error *err)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (!streams->terminal)
        return error_set(err, ENOTTY, "the container has no terminal");
    streams->rows = rows;
    streams->columns = columns;
    if (streams->output[0].fd >= 0 && ioctl(streams->output[0].fd, TIOCSWINSZ, &size) < 0)
        return error_set(err, errno, "can't set the terminal's size");
    return 0;
}
