#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/net_backend.h"
#include "vm/log.h"

/* Of Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

struct tap {
    struct net_backend backend;
    struct loop *loop;
    struct loop_source source;
    char name[IFNAMSIZ];
    bool is_gone; /* the interface was removed */
};

static struct tap *tap_of(struct net_backend *backend)
{
    return (struct tap *)backend;
}

static void on_ready(struct loop_source *source, uint32_t events)
{
    struct tap *tap = loop_owner(source, struct tap, source);
    tap->backend.ready(&tap->backend, events & (EPOLLIN | EPOLLERR | EPOLLHUP), events & EPOLLOUT);
}

static void attach(struct net_backend *backend, struct loop *loop)
{
    tap_of(backend)->loop = loop;
}

static int set_offloads(struct net_backend *backend, uint64_t features, struct error *err)
{
    static const struct {
        uint64_t feature;
        unsigned flag;
    } table[] = {{NET_GUEST_TSO4, TUN_F_TSO4},   {NET_GUEST_TSO6, TUN_F_TSO6},
                 {NET_GUEST_ECN, TUN_F_TSO_ECN}, {NET_GUEST_UFO, TUN_F_UFO},
                 {NET_GUEST_USO4, TUN_F_USO4},   {NET_GUEST_USO6, TUN_F_USO6}};
    unsigned flags = 0;
    if (features & NET_GUEST_CSUM) { /* which all others need (5.1.3.1) */
        flags = TUN_F_CSUM;
        for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
            flags |= features & table[i].feature ? table[i].flag : 0;
        /* The kernel has these two together only. */
        if ((flags & (TUN_F_USO4 | TUN_F_USO6)) != (TUN_F_USO4 | TUN_F_USO6))
            flags &= ~(unsigned)(TUN_F_USO4 | TUN_F_USO6);
    }
    if (ioctl(tap_of(backend)->source.fd, TUNSETOFFLOAD, flags) < 0)
        return error_set(err, errno, "can't set the offloads of tap %s", tap_of(backend)->name);
    return 0;
}

static int send_packet(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    return writev(tap_of(backend)->source.fd, parts, (int)count) < 0 ? -1 : 0;
}

static ssize_t receive(struct net_backend *backend, const struct iovec *parts, unsigned count)
{
    struct tap *tap = tap_of(backend);
    ssize_t got = readv(tap->source.fd, parts, (int)count);
    if (got >= 0)
        return got;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    if (!tap->is_gone) {
        vm_log(VM_LOG_ERROR, "net", "can't read tap %s any more: %s", tap->name, strerror(errno));
        tap->is_gone = true;
        loop_watch(tap->loop, &tap->source, 0);
    }
    return -1;
}

static void watch(struct net_backend *backend, bool receive_too, bool send_too)
{
    struct tap *tap = tap_of(backend);
    uint32_t events = (receive_too ? EPOLLIN : 0u) | (send_too ? EPOLLOUT : 0u);
    loop_watch(tap->loop, &tap->source, tap->is_gone ? 0 : events);
}

static void release(struct net_backend *backend)
{
    close(tap_of(backend)->source.fd);
    free(backend);
}

static const struct net_backend_operations operations = {.name = "tap",
                                                         .attach = attach,
                                                         .set_offloads = set_offloads,
                                                         .send = send_packet,
                                                         .receive = receive,
                                                         .watch = watch,
                                                         .release = release};

static int open_by_name(const char *name, struct error *err)
{
    struct ifreq request = {.ifr_flags = FLAGS};
    if (strlen(name) == 0 || strlen(name) >= IFNAMSIZ)
        return error_set(err, 0, "'%s' is no name of a network interface (1 to %d bytes)", name,
                         IFNAMSIZ - 1);
    strcpy(request.ifr_name, name);
    scope_close int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "can't open /dev/net/tun for tap %s", name);
    int result = ioctl(fd, TUNSETIFF, &request);
    if (result < 0 && errno == EINVAL) { /* it may have been made for several queues */
        request.ifr_flags = (short)(FLAGS | IFF_MULTI_QUEUE);
        result = ioctl(fd, TUNSETIFF, &request);
    }
    if (result < 0)
        return error_set(err, errno, "can't open tap %s%s", name,
                         errno == EBUSY ? " (another program has it open)" : "");
    return scope_take_fd(&fd);
}

/* Whether what others opened can be used; its name becomes the interface's. */
static int check_inherited(struct tap *tap, int fd, struct error *err)
{
    struct ifreq request = {0};
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || ioctl(fd, TUNGETIFF, &request) < 0)
        return error_set(err, errno, "descriptor %d, for the tap %s, is none", fd, tap->name);
    memcpy(tap->name, request.ifr_name, sizeof tap->name - 1);
    if ((request.ifr_flags & (FLAGS | IFF_TUN)) != FLAGS)
        return error_set(err, 0, "the tap %s must be open with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
                         tap->name);
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, errno, "can't set flags of the tap %s", tap->name);
    return 0;
}

/* What this kernel's taps can. Segments of what a guest sends are made by the kernel in any case.
 */
static uint64_t probe(int fd)
{
    uint64_t features = NET_CSUM | NET_GUEST_CSUM | NET_GUEST_TSO4 | NET_GUEST_TSO6 |
                        NET_GUEST_ECN | NET_HOST_TSO4 | NET_HOST_TSO6 | NET_HOST_ECN;
    if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS) < 0)
        return 0;
    if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | TUN_F_UFO) == 0)
        features |= NET_GUEST_UFO | NET_HOST_UFO;
    if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | TUN_F_USO4 | TUN_F_USO6) == 0)
        features |= NET_GUEST_USO4 | NET_GUEST_USO6 | NET_HOST_USO;
    ioctl(fd, TUNSETOFFLOAD, 0);
    return features;
}

struct net_backend *net_tap_open(const char *name, int fd, struct error *err)
{
    int header_size = NET_HEADER_SIZE;
    struct tap *tap = memory_allocate(1, sizeof *tap);
    tap->backend.operations = &operations;
    strncpy(tap->name, name, sizeof tap->name - 1);
    if (fd < 0)
        fd = open_by_name(name, err);
    else if (check_inherited(tap, fd, err) < 0) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        free(tap);
        return NULL;
    }
    tap->source = (struct loop_source){.fd = fd, .ready = on_ready};
    if (ioctl(fd, TUNSETVNETHDRSZ, &header_size) < 0) {
        error_set(err, errno, "can't set the size of headers of tap %s", tap->name);
        release(&tap->backend);
        return NULL;
    }
    tap->backend.features = probe(fd);
    return &tap->backend;
}
