/* A process for each share. It is cloned into namespaces of its own before the monitor is jailed,
 * and has then but three ways out of itself: its directory, the guest's memory, and a socket to the
 * monitor. A guest that takes it over has what a guest's root may do in that directory anyway. */
#include "vm/device/fs_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "vm/device/fs_confine.h"
#include "vm/device/fs_session.h"

#define PATIENCE 10000 /* ms that an order may take: a flush to a slow disk goes before it */
#define DESCRIPTORS_MAX (1u << 20)
#define DESCRIPTORS_OWN 64 /* that aren't files of the guest's */
#define TURN_MAX 32        /* requests before orders are looked for */

struct server {
    int control;
    struct fs_session *session;
    bool running, broken;
    struct guest_memory memory;
    struct virtqueue queues[FS_QUEUES];
    int kicks[FS_QUEUES], calls[FS_QUEUES];
    struct virtqueue_chain chain;
};

static void report(int control, enum fs_report_type type, const char *text)
{
    struct fs_report packet = {.type = type};
    snprintf(packet.text, sizeof packet.text, "%s", text);
    if (send(control, &packet, sizeof packet, MSG_NOSIGNAL) < 0)
        _exit(0); /* nobody is there any more */
}

static void stop(struct server *server)
{
    if (!server->running)
        return;
    server->running = false;
    fs_session_reset(server->session);
    for (unsigned i = 0; i < server->memory.count; i++)
        munmap(server->memory.regions[i].host, server->memory.regions[i].size);
    server->memory.count = 0;
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        close(server->kicks[i]);
        close(server->calls[i]);
    }
}

/* Maps the guest's memory where the monitor says it is. */
static int map_regions(struct server *server, const struct fs_order *order, const int *descriptors,
                       struct error *err)
{
    for (unsigned i = 0; i < order->region_count; i++) {
        struct guest_region region = {.address = order->regions[i].address,
                                      .size = order->regions[i].size,
                                      .fd = -1,
                                      .read_only = order->regions[i].read_only};
        region.host =
            mmap(NULL, region.size, PROT_READ | (region.read_only ? 0 : PROT_WRITE),
                 MAP_SHARED | MAP_NORESERVE, descriptors[i], (off_t)order->regions[i].offset);
        if (region.host == MAP_FAILED)
            return error_set(err, errno, "can't map guest memory");
        if (guest_memory_add_host(&server->memory, &region, err) < 0) {
            munmap(region.host, region.size);
            return -1;
        }
    }
    return 0;
}

static void start(struct server *server, const struct fs_order *order, const int *descriptors)
{
    struct error err = {0};
    server->running = true;
    server->broken = false;
    for (unsigned i = 0; i < FS_QUEUES; i++) {
        server->kicks[i] = descriptors[order->region_count + i];
        server->calls[i] = descriptors[order->region_count + FS_QUEUES + i];
    }
    int status = map_regions(server, order, descriptors, &err);
    for (unsigned i = 0; i < order->region_count; i++)
        close(descriptors[i]);
    for (unsigned i = 0; i < FS_QUEUES && status == 0; i++) {
        struct virtqueue *queue = &server->queues[i];
        *queue = (struct virtqueue){.memory = &server->memory,
                                    .size_max = VIRTQUEUE_SIZE_MAX,
                                    .size = (uint16_t)order->queues[i].size,
                                    .event_index = order->event_index,
                                    .table = order->queues[i].table,
                                    .available = order->queues[i].available,
                                    .used = order->queues[i].used};
        if (order->queues[i].ready && !virtqueue_start(queue))
            status = error_set(&err, 0, "the queues are not in shared memory");
    }
    if (status < 0) {
        stop(server);
        report(server->control, FS_REPORT_FAILED, err.text);
    } else {
        report(server->control, FS_REPORT_STARTED, "");
    }
}

/* Serves some requests; whether there may be more. */
static bool serve(struct server *server, unsigned index)
{
    struct virtqueue *queue = &server->queues[index];
    int status = 0;
    unsigned turn = 0;
    while (turn++ < TURN_MAX && (status = virtqueue_pop(queue, &server->chain)) > 0) {
        uint32_t written = fs_session_serve(server->session, &server->chain);
        virtqueue_push(queue, server->chain.head, written);
        if (virtqueue_should_interrupt(queue))
            eventfd_write(server->calls[index], 1);
    }
    if (status < 0) {
        server->broken = true;
        report(server->control, FS_REPORT_BROKEN, "put a malformed request into its queue");
    }
    return status > 0;
}

/* An order of the monitor's; the server ends with the monitor. */
static void obey(struct server *server)
{
    struct fs_order order;
    int descriptors[FS_DESCRIPTORS_MAX];
    unsigned count = 0;
    union {
        char bytes[CMSG_SPACE(sizeof descriptors)];
        struct cmsghdr align;
    } room;
    struct iovec part = {&order, sizeof order};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t size = recvmsg(server->control, &message, MSG_CMSG_CLOEXEC);
    if (size != sizeof order)
        _exit(0);
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
            count = (unsigned)((at->cmsg_len - CMSG_LEN(0)) / sizeof *descriptors);
            memcpy(descriptors, CMSG_DATA(at), count * sizeof *descriptors);
        }
    }
    stop(server);
    if (order.type == FS_ORDER_START && count == order.region_count + 2 * FS_QUEUES)
        start(server, &order, descriptors);
    else
        report(server->control, FS_REPORT_STOPPED, "");
}

static void run(struct server *server)
{
    bool more = false;
    for (;;) {
        struct pollfd polled[1 + FS_QUEUES] = {{.fd = server->control, .events = POLLIN}};
        bool serves = server->running && !server->broken;
        for (unsigned i = 0; i < FS_QUEUES; i++)
            polled[1 + i] = (struct pollfd){.fd = serves ? server->kicks[i] : -1, .events = POLLIN};
        if (poll(polled, 1 + FS_QUEUES, more && serves ? 0 : -1) < 0)
            continue;
        if (polled[0].revents) {
            obey(server);
            more = server->running; /* what was notified before we were there */
            continue;
        }
        bool again = false;
        for (unsigned i = 0; i < FS_QUEUES; i++) {
            eventfd_t count;
            if (polled[1 + i].revents)
                eventfd_read(server->kicks[i], &count);
            if ((polled[1 + i].revents || more) && !server->broken && serves)
                again |= serve(server, i);
        }
        more = again;
    }
}

/* How many files the session may hold open: as many as we may. */
static unsigned raise_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < DESCRIPTORS_MAX) {
        struct rlimit more = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            limit = more;
    }
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 2 * DESCRIPTORS_OWN ? (unsigned)limit.rlim_cur - DESCRIPTORS_OWN
                                                : DESCRIPTORS_OWN;
}

/* The monitor's handlers are not ours, nor is its terminal. */
static void leave_monitor(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGXFSZ ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_NAME, "hull-fs");
    umask(0); /* the guest's kernel has applied its user's */
}

static _Noreturn void serve_share(int control, int directory, uid_t user, gid_t group,
                                  const struct virtio_fs_options *options)
{
    static struct server server;
    struct error err = {0};
    const int kept[] = {control, directory};
    int root, proc;
    leave_monitor();
    server.control = control;
    unsigned descriptors = raise_limit();
    if (file_close_others(3, kept, 2, &err) < 0 ||
        fs_confine_enter(directory, options->read_only, user, group, &root, &proc, &err) < 0) {
        report(control, FS_REPORT_FAILED, err.text);
        _exit(1);
    }
    close(directory);
    server.session = fs_session_create(root, proc, options->cache, descriptors);
    if (fs_confine_lock(&err) < 0) {
        report(control, FS_REPORT_FAILED, err.text);
        _exit(1);
    }
    report(control, FS_REPORT_READY, "");
    run(&server);
    _exit(0);
}

/* Waits for a report, which BROKEN ones may come before. */
static int await(int control, enum fs_report_type wanted, struct error *err)
{
    struct fs_report heard;
    for (;;) {
        struct pollfd polled = {.fd = control, .events = POLLIN};
        int ready = poll(&polled, 1, PATIENCE);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return error_set(err, 0, "the server of the share doesn't answer");
        if (fs_server_hear(control, &heard) <= 0)
            return error_set(err, 0, "the server of the share is gone");
        if (heard.type == wanted)
            return 0;
        if (heard.type == FS_REPORT_FAILED)
            return error_set(err, 0, "%s", heard.text);
    }
}

int fs_server_start(const struct virtio_fs_options *options, int *control, int *process,
                    struct error *err)
{
    int ends[2];
    uid_t user = geteuid();
    gid_t group = getegid();
    scope_close int directory = open(options->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't share '%s'", options->directory);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "can't make a socket for the server of '%s'",
                         options->directory);
    fflush(NULL);
    long pid = syscall(SYS_clone, fs_confine_namespaces() | CLONE_PIDFD | SIGCHLD, NULL, process,
                       NULL, NULL);
    if (pid == 0)
        serve_share(ends[1], directory, user, group, options);
    close(ends[1]);
    *control = ends[0];
    if (pid < 0) {
        close(ends[0]);
        return error_set(err, errno, "can't start the server of '%s'", options->directory);
    }
    if (await(*control, FS_REPORT_READY, err) < 0) {
        fs_server_end(*control, *process);
        return error_wrap(err, "can't share '%s'", options->directory);
    }
    return 0;
}

int fs_server_order(int control, const struct fs_order *order, const int *descriptors,
                    unsigned count, enum fs_report_type wanted, struct error *err)
{
    union {
        char bytes[CMSG_SPACE(FS_DESCRIPTORS_MAX * sizeof *descriptors)];
        struct cmsghdr align;
    } room = {0};
    struct iovec part = {(void *)(uintptr_t)order, sizeof *order};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = &room;
        message.msg_controllen = CMSG_SPACE(count * sizeof *descriptors);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof *descriptors);
        memcpy(CMSG_DATA(header), descriptors, count * sizeof *descriptors);
    }
    if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
        return error_set(err, errno, "the server of the share is gone");
    return await(control, wanted, err);
}

int fs_server_hear(int control, struct fs_report *heard)
{
    ssize_t size = recv(control, heard, sizeof *heard, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size != sizeof *heard)
        return -1;
    heard->text[sizeof heard->text - 1] = '\0';
    return 1;
}

void fs_server_end(int control, int process)
{
    struct pollfd polled = {.fd = process, .events = POLLIN};
    siginfo_t information;
    close(control);
    /* A jailed monitor may not; then it ends by itself, having lost the socket. */
    syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
    poll(&polled, 1, 2000);
    waitid(P_PIDFD, (id_t)process, &information, WEXITED | WNOHANG);
    close(process);
}
