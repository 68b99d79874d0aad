/* libslirp wants to be asked before each wait which descriptors it waits for, and to be told after
 * it. Here all of them are in an epoll instance of our own, which the loop watches as one source:
 * what it is asked is brought there after each thing that happened, and when the source is ready,
 * or the time it named has come, it is told. It closes descriptors on the way, and numbers come
 * again; so each one in the instance carries the generation of the question it is an answer to, and
 * one of an old generation that shows up is taken out. */
#include "vm/device/net_slirp.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "vm/device/virtqueue.h"
#include "vm/log.h"

#define LIBRARY "libslirp.so.0"
#define FRAMES_MAX 1024 /* that wait for the guest's buffers; a power of two */

/* Loaded when a machine has such a network: with glib it costs every start some milliseconds. */
struct slirp_library {
    __typeof__(slirp_new) *new;
    __typeof__(slirp_cleanup) *cleanup;
    __typeof__(slirp_input) *input;
    __typeof__(slirp_pollfds_fill) *fill;
    __typeof__(slirp_pollfds_poll) *poll;
    __typeof__(slirp_add_hostfwd) *add_forward;
};

struct frame {
    size_t size;
    uint8_t bytes[];
};

struct user_network {
    struct net_backend backend;
    struct slirp_library library;
    Slirp *slirp;
    struct loop *loop;
    struct loop_source source; /* the epoll instance */
    struct loop_timer timer;   /* when slirp has something to do by itself */
    struct loop_timer deliver; /* frames are there, and the device may not know */
    bool is_asked;             /* the instance has what slirp waits for */
    bool receives;             /* the device wants to be told of frames */

    struct pollfd *polled; /* what slirp waits for, and what came */
    unsigned polled_count, polled_room;
    uint32_t generation;

    struct user_timer *timers;
    struct frame *frames[FRAMES_MAX]; /* for the guest */
    unsigned first_frame, frame_count;
    uint8_t packet[NET_PACKET_MAX]; /* from the guest, in one piece */
};

/* A timer of slirp's own; it makes them before there is a loop. */
struct user_timer {
    struct loop_timer timer;
    int64_t wanted; /* its deadline in ms, while it isn't armed for want of a loop; 0: none */
    struct user_timer *next;
    struct user_network *network;
    SlirpTimerCb expired;
    void *context;
};

static struct user_network *network_of(struct net_backend *backend)
{
    return (struct user_network *)backend;
}

/* ---- what slirp asks of us ---- */

static ssize_t take_frame(const void *bytes, size_t size, void *context)
{
    struct user_network *network = context;
    if (network->frame_count == FRAMES_MAX || size > NET_PACKET_MAX - NET_HEADER_SIZE)
        return (ssize_t)size; /* lost, as on a wire */
    struct frame *frame = memory_resize(NULL, 1, sizeof *frame + size);
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
    network->frames[(network->first_frame + network->frame_count++) % FRAMES_MAX] = frame;
    return (ssize_t)size;
}

static void say_error(const char *text, void *context)
{
    (void)context;
    vm_log(VM_LOG_DEBUG, "net", "user-mode network: the guest: %s", text);
}

static int64_t clock_ns(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void ask(struct user_network *network);
static void tell_device(struct user_network *network);

static void on_user_timer(struct loop_timer *timer)
{
    struct user_timer *user = loop_owner(timer, struct user_timer, timer);
    struct user_network *network = user->network;
    user->expired(user->context);
    ask(network);
    tell_device(network);
}

static void *new_timer(SlirpTimerCb expired, void *timer_context, void *context)
{
    struct user_network *network = context;
    struct user_timer *timer = memory_allocate(1, sizeof *timer);
    *timer = (struct user_timer){.timer.expired = on_user_timer,
                                 .network = network,
                                 .expired = expired,
                                 .context = timer_context,
                                 .next = network->timers};
    network->timers = timer;
    return timer;
}

static void free_timer(void *freed, void *context)
{
    struct user_network *network = context;
    struct user_timer *timer = freed;
    if (network->loop)
        loop_timer_cancel(network->loop, &timer->timer);
    for (struct user_timer **at = &network->timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    free(timer);
}

static void set_timer(void *set, int64_t deadline, void *context)
{
    struct user_network *network = context;
    struct user_timer *timer = set;
    if (network->loop)
        loop_timer_set(network->loop, &timer->timer, deadline - loop_now());
    else
        timer->wanted = deadline;
}

static void ignore_descriptor(int fd, void *context)
{
    (void)fd, (void)context;
}

static void notice(void *context)
{
    ((struct user_network *)context)->is_asked = false;
}

static const SlirpCb callbacks = {.send_packet = take_frame,
                                  .guest_error = say_error,
                                  .clock_get_ns = clock_ns,
                                  .timer_new = new_timer,
                                  .timer_free = free_timer,
                                  .timer_mod = set_timer,
                                  .register_poll_fd = ignore_descriptor,
                                  .unregister_poll_fd = ignore_descriptor,
                                  .notify = notice};

/* ---- descriptors ---- */

static int add_descriptor(int fd, int events, void *context)
{
    struct user_network *network = context;
    if (network->polled_count == network->polled_room) {
        network->polled_room = network->polled_room ? 2 * network->polled_room : 16;
        network->polled =
            memory_resize(network->polled, network->polled_room, sizeof *network->polled);
    }
    network->polled[network->polled_count] =
        (struct pollfd){.fd = fd,
                        .events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) |
                                          (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                                          (events & SLIRP_POLL_PRI ? POLLPRI : 0))};
    return (int)network->polled_count++;
}

static int get_events(int index, void *context)
{
    struct user_network *network = context;
    if (index < 0 || (unsigned)index >= network->polled_count)
        return 0;
    short events = network->polled[index].revents;
    return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
           (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Asks slirp what it waits for. */
static void ask(struct user_network *network)
{
    uint32_t timeout = UINT32_MAX;
    network->polled_count = 0;
    network->generation++;
    network->library.fill(network->slirp, &timeout, add_descriptor, network);
    for (unsigned i = 0; i < network->polled_count; i++) {
        const struct pollfd *polled = &network->polled[i];
        struct epoll_event event = {/* poll's and epoll's numbers are the same ones. */
                                    .events = (uint32_t)polled->events,
                                    .data.u64 =
                                        (uint64_t)network->generation << 32 | (uint32_t)polled->fd};
        if (epoll_ctl(network->source.fd, EPOLL_CTL_MOD, polled->fd, &event) < 0)
            epoll_ctl(network->source.fd, EPOLL_CTL_ADD, polled->fd, &event);
    }
    if (timeout == UINT32_MAX)
        loop_timer_cancel(network->loop, &network->timer);
    else
        loop_timer_set(network->loop, &network->timer, timeout);
    network->is_asked = true;
}

/* Takes those out of the instance that slirp waits for no more. */
static void drop_old(struct user_network *network)
{
    struct epoll_event events[32];
    int count = epoll_wait(network->source.fd, events, 32, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 >> 32 != network->generation)
            epoll_ctl(network->source.fd, EPOLL_CTL_DEL, (int)(uint32_t)events[i].data.u64, NULL);
    }
}

/* Tells slirp what has come, and lets it work. */
static void turn(struct user_network *network)
{
    drop_old(network);
    bool failed = poll(network->polled, network->polled_count, 0) < 0;
    network->library.poll(network->slirp, failed, get_events, network);
    ask(network);
    tell_device(network);
}

static void on_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    turn(loop_owner(source, struct user_network, source));
}

static void on_time(struct loop_timer *timer)
{
    turn(loop_owner(timer, struct user_network, timer));
}

/* ---- what the device asks of us ---- */

static void tell_device(struct user_network *network)
{
    if (network->receives && network->frame_count > 0)
        network->backend.ready(&network->backend, true, false);
}

static void on_deliver(struct loop_timer *timer)
{
    tell_device(loop_owner(timer, struct user_network, deliver));
}

static void attach(struct net_backend *backend, struct loop *loop)
{
    struct user_network *network = network_of(backend);
    network->loop = loop;
    for (struct user_timer *timer = network->timers; timer; timer = timer->next) {
        if (timer->wanted > 0)
            set_timer(timer, timer->wanted, network);
    }
    loop_watch(loop, &network->source, EPOLLIN);
    ask(network);
}

static int send_packet(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    struct user_network *network = network_of(backend);
    uint64_t size =
        virtqueue_copy_from(parts, count, NET_HEADER_SIZE, network->packet, sizeof network->packet);
    network->library.input(network->slirp, network->packet, (int)size);
    network->is_asked = false; /* asked again in watch(), at the end of the batch */
    return 0;
}

static ssize_t receive(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    static const uint8_t header[NET_HEADER_SIZE];
    struct user_network *network = network_of(backend);
    if (network->frame_count == 0)
        return 0;
    struct frame *frame = network->frames[network->first_frame];
    network->first_frame = (network->first_frame + 1) % FRAMES_MAX;
    network->frame_count--;
    virtqueue_copy_to(parts, count, 0, header, sizeof header);
    virtqueue_copy_to(parts, count, sizeof header, frame->bytes, frame->size);
    ssize_t size = (ssize_t)(sizeof header + frame->size);
    free(frame);
    return size;
}

static void watch(struct net_backend *backend, bool receive_too, bool send_too)
{
    struct user_network *network = network_of(backend);
    (void)send_too; /* it takes whatever is sent */
    network->receives = receive_too;
    if (!network->is_asked)
        ask(network);
    if (receive_too && network->frame_count > 0 && !network->deliver.armed)
        loop_timer_set(network->loop, &network->deliver, 0);
}

static void release(struct net_backend *backend)
{
    struct user_network *network = network_of(backend);
    if (network->slirp)
        network->library.cleanup(network->slirp);
    if (network->loop) {
        loop_timer_cancel(network->loop, &network->timer);
        loop_timer_cancel(network->loop, &network->deliver);
        loop_watch(network->loop, &network->source, 0);
    }
    if (network->source.fd >= 0)
        close(network->source.fd);
    for (unsigned i = 0; i < network->frame_count; i++)
        free(network->frames[(network->first_frame + i) % FRAMES_MAX]);
    free(network->polled);
    free(network);
}

static const struct net_backend_operations operations = {.name = "user",
                                                         .attach = attach,
                                                         .send = send_packet,
                                                         .receive = receive,
                                                         .watch = watch,
                                                         .release = release};

/* ---- set-up ---- */

static int load_library(struct slirp_library *library, struct error *err)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return error_set(err, 0, "the user-mode network needs " LIBRARY ": %s", dlerror());
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {
        {"slirp_new", &library->new},           {"slirp_cleanup", &library->cleanup},
        {"slirp_input", &library->input},       {"slirp_pollfds_fill", &library->fill},
        {"slirp_pollfds_poll", &library->poll}, {"slirp_add_hostfwd", &library->add_forward}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (!symbol)
            return error_set(err, 0, "this " LIBRARY " has no %s", symbols[i].name);
        memcpy(symbols[i].slot, &symbol, sizeof symbol);
    }
    return 0;
}

static void configure(SlirpConfig *config, const struct net_slirp_settings *settings)
{
    *config = (SlirpConfig){.version = 4,
                            .restricted = settings->is_restricted,
                            .in_enabled = true,
                            .vnetwork.s_addr = htonl(0x0a000200),
                            .vnetmask.s_addr = htonl(0xffffff00),
                            .vhost.s_addr = htonl(0x0a000202),
                            .in6_enabled = true,
                            .vprefix_len = 64,
                            .vhostname = settings->hostname,
                            .vdhcp_start.s_addr = htonl(0x0a00020f),
                            .vnameserver.s_addr = htonl(0x0a000203),
                            .if_mtu = settings->mtu,
                            .if_mru = settings->mtu,
                            .disable_host_loopback = !settings->host_loopback};
    inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config->vhost6);
    inet_pton(AF_INET6, "fec0::3", &config->vnameserver6);
}

static int add_forwards(struct user_network *network, const struct net_slirp_settings *settings,
                        struct error *err)
{
    for (unsigned i = 0; i < settings->forward_count; i++) {
        const struct net_slirp_forward *forward = &settings->forwards[i];
        char host[INET_ADDRSTRLEN];
        if (network->library.add_forward(network->slirp, forward->is_udp, forward->host_address,
                                         forward->host_port, forward->guest_address,
                                         forward->guest_port) < 0)
            return error_set(err, errno, "can't forward port %s:%u/%s to the guest",
                             inet_ntop(AF_INET, &forward->host_address, host, sizeof host),
                             forward->host_port, forward->is_udp ? "udp" : "tcp");
    }
    return 0;
}

void net_slirp_prepare(void)
{
    dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

struct net_backend *net_slirp_open(const struct net_slirp_settings *settings, struct error *err)
{
    SlirpConfig config;
    struct user_network *network = memory_allocate(1, sizeof *network);
    network->backend.operations = &operations;
    network->timer.expired = on_time;
    network->deliver.expired = on_deliver;
    network->source = (struct loop_source){.fd = epoll_create1(EPOLL_CLOEXEC), .ready = on_ready};
    configure(&config, settings);
    signal(SIGPIPE, SIG_IGN); /* libslirp sends to sockets that others have closed */
    if (network->source.fd < 0)
        error_set(err, errno, "can't make an epoll instance");
    else if (load_library(&network->library, err) == 0) {
        network->slirp = network->library.new(&config, &callbacks, network);
        if (!network->slirp)
            error_set(err, 0, "libslirp refused its settings (an MTU of %u?)", settings->mtu);
        else if (add_forwards(network, settings, err) == 0)
            return &network->backend;
    }
    release(&network->backend);
    return NULL;
}
