/* hull-port: serves a container's published ports where the kernel's address translation can't:
 * connections to ::1, and IPv6 ones to a container without IPv6. Its sockets also keep the ports
 * reserved while the container has them.
 *
 *     hull-port < CONFIGURATION
 *
 * CONFIGURATION has a line for each socket from descriptor 3 on: PROTOCOL ADDRESS PORT, where it is
 * to be forwarded to. What is cut short (the starter was killed before it had recorded this
 * process) ends it. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "network/port_forward.h"

#define FIRST_DESCRIPTOR 3
#define CONFIGURATION_LIMIT ((size_t)1 << 20)
#define NOBODY 65534

static bool parse_target(struct forward_target *target, const char *address, unsigned int port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&target->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&target->address;
    if (port == 0 || port > 65535)
        return false;
    if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        target->length = sizeof *in;
        return true;
    }
    if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    target->length = sizeof *in6;
    return true;
}

/* The last line is "end", so that what is cut short is seen. */
static int configure(struct forwarder *forwarder, char *text, struct error *err)
{
    int fd = FIRST_DESCRIPTOR;
    bool complete = false;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char protocol[8], address[64];
        unsigned int port;
        struct forward_target target = {0};
        complete = complete || strcmp(line, "end") == 0;
        if (complete)
            break;
        if (sscanf(line, "%7s %63s %u", protocol, address, &port) != 3 ||
            !parse_target(&target, address, port))
            return error_set(err, 0, "bad line of configuration: %s", line);
        /* SCTP is for the kernel alone: no stream of bytes could stand for its messages. */
        int socket = fd++;
        if (strcmp(protocol, "sctp") != 0 &&
            forwarder_add(forwarder, socket, strcmp(protocol, "udp") == 0, &target, err) < 0)
            return -1;
    }
    return complete ? 0 : error_set(err, 0, "the configuration is cut short");
}

/* It talks to the world, and needs no right for that. In a user namespace without the user nobody
 * it stays who it is. */
static void drop_privileges(void)
{
    if (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        _exit(1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int main(void)
{
    struct error err = {0};
    struct rlimit limit;
    struct forwarder forwarder;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    scope_free char *text =
        file_read_all_fd(STDIN_FILENO, "the configuration", CONFIGURATION_LIMIT, NULL, &err);
    drop_privileges();
    if (text && forwarder_open(&forwarder, &err) == 0 && configure(&forwarder, text, &err) == 0 &&
        forwarder_run(&forwarder, &err) == 0)
        return 0;
    fprintf(stderr, "hull-port: %s\n", err.text);
    return 1;
}
