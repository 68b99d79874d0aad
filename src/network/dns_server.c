#include "network/dns_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

#define EVENTS 64
#define BATCH 16
#define NAMES_LIMIT ((size_t)64 << 20)
#define FILE_LIMIT ((size_t)1 << 20)
/* How old what is known of the host's resolv.conf may be. */
#define HOST_FILE_MILLISECONDS 2000

int64_t dns_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int dns_watch(struct dns_server *server, int fd, struct dns_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
}

size_t dns_server_upstreams(struct dns_server *server, const struct dns_container *container,
                            const struct dns_upstream **upstreams)
{
    int64_t now = dns_now();
    *upstreams = container->upstreams;
    if (container->upstream_count > 0)
        return container->upstream_count;
    if (server->host_file_seen == 0 || now - server->host_file_seen > HOST_FILE_MILLISECONDS) {
        scope_free char *text = file_read_all(AT_FDCWD, "/etc/resolv.conf", FILE_LIMIT, NULL, NULL);
        server->host_upstream_count = text ? dns_upstreams_parse(server->host_upstreams, text) : 0;
        server->host_file_seen = now;
    }
    *upstreams = server->host_upstreams;
    return server->host_upstream_count;
}

/* ---- Answers of hull's own ----------------------------------------------------------------------
 */

/* Several containers with one alias take turns at being the first. */
static void shuffle(struct dns_address *addresses, size_t count)
{
    uint8_t random[16];
    if (count < 2 || getrandom(random, sizeof random, 0) != sizeof random)
        return;
    for (size_t i = 0; i + 1 < count; i++) {
        size_t other = i + random[i % sizeof random] % (count - i);
        struct dns_address swap = addresses[i];
        addresses[i] = addresses[other];
        addresses[other] = swap;
    }
}

static ssize_t answer_name(const struct dns_container *container, const uint8_t *query,
                           const struct dns_question *question, uint8_t *out, size_t size)
{
    struct dns_address *found;
    size_t count;
    size_t wanted = question->type == DNS_A ? 4 : question->type == DNS_AAAA ? 16 : 0;
    if (!dns_names_look_up(container, question->name, wanted, &found, &count))
        return 0;
    scope_free struct dns_address *addresses = found;
    bool typed = wanted != 0 || question->type == DNS_ANY;
    shuffle(addresses, typed ? count : 0);
    return (ssize_t)dns_compose_addresses(query, question, addresses, typed ? count : 0, out, size);
}

static ssize_t answer_address(const struct dns_container *container, const uint8_t *query,
                              const struct dns_question *question, uint8_t *out, size_t size)
{
    struct dns_address address;
    if (!dns_parse_reverse(question->name, &address))
        return 0;
    scope_free char *name = dns_names_look_up_address(container, &address);
    return name ? (ssize_t)dns_compose_name(query, question, name, out, size) : 0;
}

ssize_t dns_server_answer(struct dns_listener *listener, const uint8_t *query, size_t length,
                          struct dns_question *question, uint8_t *out, size_t size)
{
    const struct dns_upstream *upstreams;
    int code = dns_parse_query(query, length, question);
    if (code < 0 || !listener->container)
        return -1;
    if (code != DNS_NOERROR)
        return (ssize_t)dns_compose_code(query, question, (enum dns_code)code, out, size);
    ssize_t answer = 0;
    if (question->class == 1)
        answer = question->type == DNS_PTR
                     ? answer_address(listener->container, query, question, out, size)
                     : answer_name(listener->container, query, question, out, size);
    if (answer != 0)
        return answer;
    if (listener->container->internal ||
        dns_server_upstreams(listener->server, listener->container, &upstreams) == 0)
        return (ssize_t)dns_compose_code(query, question, DNS_REFUSED, out, size);
    return 0;
}

static void udp_ready(struct dns_source *source, uint32_t events)
{
    struct dns_listener *listener = (struct dns_listener *)source;
    uint8_t query[4096], answer[4096];
    (void)events;
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage client = {0};
        socklen_t client_length = sizeof client;
        struct dns_question question;
        ssize_t length = recvfrom(listener->udp, query, sizeof query, MSG_DONTWAIT,
                                  (struct sockaddr *)&client, &client_length);
        if (length < 0)
            return;
        if (length < DNS_HEADER_SIZE)
            continue;
        dns_parse_query(query, (size_t)length, &question);
        size_t room = question.udp_size < sizeof answer ? question.udp_size : sizeof answer;
        ssize_t answered =
            dns_server_answer(listener, query, (size_t)length, &question, answer, room);
        if (answered > 0)
            sendto(listener->udp, answer, (size_t)answered, MSG_DONTWAIT,
                   (struct sockaddr *)&client, client_length);
        else if (answered == 0)
            dns_query_forward(listener, query, (size_t)length, &question, &client, client_length);
    }
}

static void tcp_ready(struct dns_source *source, uint32_t events)
{
    (void)events;
    dns_stream_accept(
        (struct dns_listener *)((char *)source - offsetof(struct dns_listener, tcp_source)));
}

/* ---- What the parent says -----------------------------------------------------------------------
 */

static void add_listener(struct dns_server *server, const char *id, int udp, int tcp)
{
    struct dns_listener *listener = memory_allocate(1, sizeof *listener);
    *listener = (struct dns_listener){.udp_source.ready = udp_ready,
                                      .tcp_source.ready = tcp_ready,
                                      .udp = udp,
                                      .tcp = tcp,
                                      .server = server,
                                      .next = server->listeners};
    snprintf(listener->id, sizeof listener->id, "%s", id);
    server->listeners = listener;
    dns_watch(server, udp, &listener->udp_source, EPOLLIN);
    dns_watch(server, tcp, &listener->tcp_source, EPOLLIN);
}

static void end_listener(struct dns_server *server, struct dns_listener *listener)
{
    dns_query_end_of(server, listener);
    dns_stream_end_of(server, listener);
    close(listener->udp);
    close(listener->tcp);
    free(listener);
}

/* A container that has been attached anew has a new namespace: its old sockets must go. */
static void end_listeners_of(struct dns_server *server, const char *id)
{
    for (struct dns_listener **at = &server->listeners; *at;) {
        struct dns_listener *listener = *at;
        if (strcmp(listener->id, id) != 0) {
            at = &listener->next;
            continue;
        }
        *at = listener->next;
        end_listener(server, listener);
    }
}

static int read_names(struct dns_server *server, int fd, struct error *err)
{
    struct dns_names names;
    scope_free char *text = file_read_all_fd(fd, "the file of names", NAMES_LIMIT, NULL, err);
    if (!text || dns_names_parse(&names, text, err) < 0)
        return -1;
    for (struct dns_listener **at = &server->listeners; *at;) {
        struct dns_listener *listener = *at;
        listener->container = dns_names_find_container(&names, listener->id);
        if (listener->container) {
            at = &listener->next;
            continue;
        }
        *at = listener->next;
        end_listener(server, listener);
    }
    dns_names_release(&server->names);
    server->names = names;
    return 0;
}

static void answer_parent(struct dns_server *server, int names)
{
    struct error err = {0};
    char text[ERROR_TEXT_SIZE + 1] = "+";
    if (read_names(server, names, &err) < 0)
        snprintf(text, sizeof text, "-%s", err.text);
    send(server->control, text, strlen(text), MSG_NOSIGNAL);
}

/* 1: handled, 0: the parent has gone. */
static int take_control(struct dns_server *server)
{
    char id[DNS_ID_SIZE] = "";
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } ancillary;
    struct iovec text = {id, sizeof id - 1};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    int fds[2] = {-1, -1};
    ssize_t length = recvmsg(server->control, &message, MSG_CMSG_CLOEXEC);
    if (length <= 0)
        return length < 0 && (errno == EINTR || errno == EAGAIN);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        return 1;
    memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    if (fds[1] < 0) {
        answer_parent(server, fds[0]);
        close(fds[0]);
    } else {
        end_listeners_of(server, id);
        add_listener(server, id, fds[0], fds[1]);
    }
    return 1;
}

struct control_source {
    struct dns_source source;
    struct dns_server *server;
    bool ended;
};

static void control_ready(struct dns_source *source, uint32_t events)
{
    struct control_source *control = (struct control_source *)source;
    (void)events;
    control->ended = take_control(control->server) == 0;
}

static int soonest(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* One event at a time: what one does (a container goes) may end what the others are about. */
int dns_server_run(int control, struct error *err)
{
    struct dns_server server = {.epoll = epoll_create1(EPOLL_CLOEXEC), .control = control};
    struct control_source source = {.source.ready = control_ready, .server = &server};
    if (server.epoll < 0 || dns_watch(&server, control, &source.source, EPOLLIN) < 0)
        return error_set(err, errno, "can't make an epoll descriptor");
    while (!source.ended) {
        struct epoll_event event;
        int timeout = soonest(dns_query_expire(&server), dns_stream_expire(&server));
        int count = epoll_wait(server.epoll, &event, 1, timeout);
        if (count < 0 && errno != EINTR)
            return error_set(err, errno, "can't wait for events");
        if (count > 0) {
            struct dns_source *ready = event.data.ptr;
            ready->ready(ready, event.events);
        }
    }
    return 0;
}
