/* Published ports: sockets of the host that reserve them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/publish.h"

#define EPHEMERAL_TRIES 64

void publication_release(struct publication *publication)
{
    for (size_t i = 0; i < publication->count; i++)
        scope_close_fd(&publication->sockets[i]);
    free(publication->sockets);
    free(publication->ports);
    *publication = (struct publication){0};
}

static int make_socket(const struct address *address, enum network_protocol protocol)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_STREAM};
    static const int protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
    int one = 1;
    int fd = socket(address->family, types[protocol] | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    protocols[protocol]);
    if (fd < 0)
        return -1;
    if (address->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (types[protocol] == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* An address that an interface will have later can be published now. */
    return fd;
}

static socklen_t fill_address(struct sockaddr_storage *storage, const struct address *address,
                              uint16_t port)
{
    uint8_t bytes[16];
    address_bytes(address, bytes);
    memset(storage, 0, sizeof *storage);
    if (address->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, bytes, 16);
    return sizeof *in6;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
        return 0;
    return ntohs(storage.ss_family == AF_INET ? ((struct sockaddr_in *)&storage)->sin_port
                                              : ((struct sockaddr_in6 *)&storage)->sin6_port);
}

/* 0: bound, and *port is which; an errno value else. A kernel without the protocol can't reserve
 * its ports, and nobody else can use them. */
static int bind_one(const struct address *address, enum network_protocol protocol, uint16_t *port,
                    int *result)
{
    struct sockaddr_storage storage;
    socklen_t length = fill_address(&storage, address, *port);
    *result = -1;
    scope_close int fd = make_socket(address, protocol);
    if (fd < 0)
        return protocol == NETWORK_SCTP && errno == EPROTONOSUPPORT && *port ? 0 : errno;
    if (bind(fd, (struct sockaddr *)&storage, length) < 0 ||
        (protocol != NETWORK_UDP && listen(fd, SOMAXCONN) < 0))
        return errno;
    *port = bound_port(fd);
    *result = scope_take_fd(&fd);
    return 0;
}

/* Which addresses of the host one request means. */
struct hosts {
    struct address addresses[2];
    size_t count;
};

static bool host_has_ipv6(void)
{
    scope_close int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
}

static int choose_hosts(const struct networks *networks, const char *text, struct hosts *hosts,
                        struct error *err)
{
    *hosts = (struct hosts){.count = 1};
    if (*text)
        return address_parse(&hosts->addresses[0], text)
                   ? 0
                   : error_set(err, 0, "'%s' is no IP address to publish a port at", text);
    hosts->addresses[0].family = AF_INET;
    hosts->addresses[1].family = AF_INET6;
    hosts->count = !networks->rootless && host_has_ipv6() ? 2 : 1;
    return 0;
}

/* All of the addresses, or none. 0 or an errno value. */
static int bind_all(const struct hosts *hosts, enum network_protocol protocol, uint16_t *port,
                    int sockets[2])
{
    for (size_t i = 0; i < hosts->count; i++) {
        int code = bind_one(&hosts->addresses[i], protocol, port, &sockets[i]);
        if (code == 0)
            continue;
        while (i-- > 0)
            scope_close_fd(&sockets[i]);
        return code;
    }
    return 0;
}

static int bind_request(const struct hosts *hosts, const struct network_port *wanted,
                        uint16_t *port, int sockets[2])
{
    int code = EADDRINUSE;
    if (wanted->host_first == 0) {
        for (int tries = 0; tries < EPHEMERAL_TRIES && code == EADDRINUSE; tries++) {
            *port = 0;
            code = bind_all(hosts, wanted->protocol, port, sockets);
        }
        return code;
    }
    for (int at = wanted->host_first; at <= wanted->host_last && code == EADDRINUSE; at++) {
        *port = (uint16_t)at;
        code = bind_all(hosts, wanted->protocol, port, sockets);
    }
    return code;
}

static int fail(struct networks *networks, const struct publication *publication,
                const struct network_port *wanted, int code, struct error *err)
{
    const char *protocol = network_protocol_name(wanted->protocol);
    const char *address = *wanted->host_address ? wanted->host_address : "0.0.0.0";
    if (code == EADDRNOTAVAIL)
        return error_set(err, 0, "port %s:%d/%s: the host has no such address", address,
                         wanted->host_first, protocol);
    if (code == EACCES)
        return error_set(err, 0,
                         "port %s:%d/%s: users other than root can't bind it (use 1024 or higher, "
                         "or lower the sysctl net.ipv4.ip_unprivileged_port_start)",
                         address, wanted->host_first, protocol);
    if (code != EADDRINUSE)
        return error_set(err, code, "port %s:%d/%s: can't bind it", address, wanted->host_first,
                         protocol);
    if (wanted->host_first != wanted->host_last)
        return error_set(err, 0, "no port of %s:%d-%d/%s is free", address, wanted->host_first,
                         wanted->host_last, protocol);
    for (size_t i = 0; i < publication->count; i++)
        if (publication->ports[i].host_first == wanted->host_first &&
            publication->ports[i].protocol == wanted->protocol)
            return error_set(err, 0, "port %s:%d/%s is asked for twice", address,
                             wanted->host_first, protocol);
    scope_statement sqlite3_stmt *row = database_prepare(
        networks->database, err,
        "SELECT c.name FROM network_port p JOIN network_container c ON c.id = p.container"
        " WHERE p.protocol = ? AND p.host_port = ? AND c.boot = ? AND c.state != 2",
        "iit", (long long)wanted->protocol, (long long)wanted->host_first, networks->boot);
    if (row && database_step(networks->database, row, NULL) == 1)
        return error_set(err, 0, "port %s:%d/%s is published by container '%s'", address,
                         wanted->host_first, protocol, database_text(row, 0));
    return error_set(err, 0, "port %s:%d/%s is used by a process of the host", address,
                     wanted->host_first, protocol);
}

static void add(struct publication *publication, const struct network_port *wanted,
                const struct address *address, uint16_t port, int fd)
{
    size_t count = publication->count + 1;
    publication->ports = memory_resize(publication->ports, count, sizeof *publication->ports);
    publication->sockets = memory_resize(publication->sockets, count, sizeof *publication->sockets);
    struct network_port *made = &publication->ports[publication->count];
    *made = *wanted;
    made->host_first = made->host_last = port;
    address_format(address, made->host_address);
    publication->sockets[publication->count++] = fd;
}

int publication_bind(struct networks *networks, const struct network_port *ports, size_t count,
                     const char *default_address, struct publication *publication,
                     struct error *err)
{
    *publication = (struct publication){0};
    for (size_t i = 0; i < count; i++) {
        const struct network_port *wanted = &ports[i];
        struct hosts hosts;
        uint16_t port;
        int sockets[2] = {-1, -1};
        const char *text = *wanted->host_address ? wanted->host_address : default_address;
        if (choose_hosts(networks, text, &hosts, err) < 0)
            return -1;
        int code = bind_request(&hosts, wanted, &port, sockets);
        if (code != 0)
            return fail(networks, publication, wanted, code, err);
        for (size_t j = 0; j < hosts.count; j++)
            add(publication, wanted, &hosts.addresses[j], port, sockets[j]);
    }
    return 0;
}
