/* The process hull-port of a container with published ports. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/helper.h"
#include "network/publish.h"

/* Where it forwards to: an address of the same family, or else the other's. */
static const char *choose_target(const struct container_record *container, bool ip6)
{
    const char *found[2] = {NULL, NULL};
    for (size_t i = 0; i < container->endpoint_count; i++) {
        const struct endpoint_record *endpoint = &container->endpoints[i];
        const char *addresses[2] = {endpoint->public.ip4, endpoint->public.ip6};
        for (int family = 0; !endpoint->internal && family < NETWORK_FAMILIES; family++)
            if (!found[family] && *addresses[family])
                found[family] = addresses[family];
    }
    return found[ip6] ? found[ip6] : found[!ip6];
}

/* The lines of the configuration, and the sockets that they are about. */
static char *compose(const struct container_record *container,
                     const struct publication *publication, int *descriptors, size_t *count)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    *count = 0;
    for (size_t i = 0; i < publication->count; i++) {
        const struct network_port *port = &publication->ports[i];
        const char *target = choose_target(container, strchr(port->host_address, ':'));
        if (publication->sockets[i] < 0)
            continue;
        descriptors[(*count)++] = publication->sockets[i];
        /* Port 1 of nowhere: in internal networks only, they are reserved and not served. */
        fprintf(out, "%s %s %u\n", network_protocol_name(port->protocol),
                target ? target : "::", target ? port->container_port : 1);
    }
    fprintf(out, "end\n");
    fclose(out);
    return text;
}

/* Whoever is killed leaves no process without a record: until it has its configuration the new one
 * ends with its starter, and the old one (which may be none) has ended before the new is recorded. */
static int start(struct networks *networks, const struct container_record *container,
                 const struct publication *publication, struct helper *helper, struct error *err)
{
    size_t count;
    int *room = memory_allocate(publication->count, sizeof *room);
    scope_free int *descriptors = room;
    scope_free char *program = helper_find("hull-port");
    scope_free char *text = compose(container, publication, descriptors, &count);
    const char *const argv[] = {program, NULL};
    scope_close int input = -1;
    if (helper_start(argv, descriptors, count, helper, &input, err) < 0 ||
        helper_stop(&container->helper, err) < 0 ||
        container_record_set_helper(networks, container->id, helper, err) < 0)
        return -1;
    return helper_tell(input, text, err) < 0 ? error_wrap(err, "hull-port") : 0;
}

int publication_start(struct networks *networks, struct container_record *container,
                      const struct publication *publication, struct error *err)
{
    struct helper started;
    if (start(networks, container, publication, &started, err) < 0)
        return -1;
    container->helper = started;
    return 0;
}

static bool is_reservation(int fd, const struct network_port *port)
{
    static const int protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
    int protocol = 0;
    socklen_t length = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
           protocol == protocols[port->protocol];
}

/* The sockets of a running hull-port, in the order of its ports. */
static int borrow(const struct container_record *container, struct publication *publication,
                  struct error *err)
{
    scope_close int process = helper_open(&container->helper);
    *publication = (struct publication){0};
    if (process < 0)
        return error_set(err, ESRCH, "hull-port has ended");
    publication->ports = memory_allocate(container->port_count, sizeof *publication->ports);
    publication->sockets = memory_allocate(container->port_count, sizeof *publication->sockets);
    int next = PUBLICATION_DESCRIPTOR;
    for (size_t i = 0; i < container->port_count; i++) {
        const struct network_port *port = &container->ports[i];
        scope_close int fd = (int)syscall(SYS_pidfd_getfd, process, next, 0);
        bool reserved = fd >= 0 && is_reservation(fd, port);
        /* A kernel without SCTP has no socket for such a port. */
        if (!reserved && port->protocol != NETWORK_SCTP)
            return error_set(err, errno, "can't take over a published port");
        next += reserved;
        publication->ports[publication->count] = *port;
        publication->sockets[publication->count++] = reserved ? scope_take_fd(&fd) : -1;
    }
    return 0;
}

int publication_restart(struct networks *networks, struct container_record *container,
                        struct error *err)
{
    scope_publication struct publication publication = {0};
    if (container->port_count == 0)
        return 0;
    if (borrow(container, &publication, err) < 0)
        return -1;
    return publication_start(networks, container, &publication, err);
}
