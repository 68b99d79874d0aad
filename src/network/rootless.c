/* Networks of users other than root: they may make namespaces, but no interface of the host's. A
 * container's traffic goes through the process pasta, which speaks to the world with ordinary
 * sockets of the user's, and binds published ports. It ends when the namespace's pin goes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "network/network_internal.h"
#include "network/rootless.h"

#define FIXED_ARGUMENTS 32
#define OUTPUT_LIMIT ((size_t)1 << 16)

int rootless_check(const struct network_request *request, struct error *err)
{
    struct address address;
    for (size_t i = 0; i < request->endpoint_count; i++)
        if (strcmp(request->endpoints[i].network, NETWORK_DEFAULT) != 0 &&
            strcmp(request->endpoints[i].network, "default") != 0)
            return error_set(err, 0,
                             "network '%s': users other than root have only the networks bridge, "
                             "none and host (run hull as root)",
                             request->endpoints[i].network);
    for (size_t i = 0; i < request->port_count; i++) {
        const struct network_port *port = &request->ports[i];
        if (port->protocol == NETWORK_SCTP)
            return error_set(err, 0, "port %d/sctp: only root can publish SCTP",
                             port->container_port);
        if (address_parse(&address, port->host_address) && address.family == AF_INET6)
            return error_set(err, 0, "port %d: only root can publish at an IPv6 address",
                             port->container_port);
    }
    return 0;
}

struct arguments {
    struct arena arena;
    const char **list;
    size_t count;
};

static void add(struct arguments *arguments, const char *first, const char *second)
{
    arguments->list[arguments->count++] = arena_copy_string(&arguments->arena, first);
    if (second)
        arguments->list[arguments->count++] = arena_copy_string(&arguments->arena, second);
}

static void add_ports(struct arguments *arguments, const struct container_record *container,
                      enum network_protocol protocol, const char *flag)
{
    bool any = false;
    for (size_t i = 0; i < container->port_count; i++) {
        const struct network_port *port = &container->ports[i];
        if (port->protocol != protocol)
            continue;
        scope_free char *text =
            memory_format("%s/%d:%d", port->host_address, port->host_first, port->container_port);
        add(arguments, flag, text);
        any = true;
    }
    if (!any)
        add(arguments, flag, "none");
}

/* No way to the host's loopback: neither through the gateway's address nor by ports of the
 * namespace's own loopback. */
static void compose(const struct networks *networks, const struct container_record *container,
                    const char *pid_file, struct arguments *arguments)
{
    const struct network_endpoint *endpoint = &container->endpoints[0].public;
    scope_free char *path = network_namespace_path(networks, container->id);
    scope_free char *prefix = memory_format("%d", endpoint->ip4_prefix);
    arguments->list =
        memory_allocate(FIXED_ARGUMENTS + 2 * container->port_count, sizeof *arguments->list);
    add(arguments, "pasta", "--quiet");
    add(arguments, "--config-net", NULL);
    add(arguments, "--netns", path);
    add(arguments, "--pid", pid_file);
    add(arguments, "--ns-ifname", endpoint->interface);
    add(arguments, "--ns-mac-addr", endpoint->mac);
    add(arguments, "--address", endpoint->ip4);
    add(arguments, "--netmask", prefix);
    add(arguments, "--gateway", endpoint->gateway4);
    add(arguments, "--dns-forward", ROOTLESS_RESOLVER);
    add(arguments, "--no-map-gw", NULL);
    add(arguments, "--tcp-ns", "none");
    add(arguments, "--udp-ns", "none");
    add_ports(arguments, container, NETWORK_TCP, "--tcp-ports");
    add_ports(arguments, container, NETWORK_UDP, "--udp-ports");
}

/* The last line that it printed that isn't about its log. */
static const char *find_reason(char *output)
{
    const char *reason = "it said nothing";
    for (char *rest = output, *line; (line = strsep(&rest, "\n"));)
        if (*line && strncmp(line, "Failed to send", 14) != 0 &&
            strncmp(line, "No external routable interface for IPv6", 39) != 0)
            reason = line;
    return reason;
}

/* It goes to the background when it is ready. */
static int run(const char *const *argv, struct error *err)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDWR);
        if (dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(ends[1], 2) < 0 ||
            file_close_others(3, NULL, 0, NULL) < 0)
            _exit(127);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    scope_close int output_end = ends[0];
    if (pid < 0)
        return error_set(err, errno, "can't make a process");
    scope_free char *output =
        file_read_all_fd(output_end, "pasta's output", OUTPUT_LIMIT, NULL, NULL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_set(err, 0,
                         "can't execute pasta, which the network of users other than root needs "
                         "(install passt, or use --network none or host)");
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        return error_set(err, errno,
                         "pasta can't open /dev/net/tun (an administrator can allow it: chmod 666 "
                         "/dev/net/tun; or use --network none or host)");
    return error_set(err, 0, "pasta failed: %s", output ? find_reason(output) : "");
}

static int record(struct networks *networks, struct container_record *container,
                  const char *pid_file, struct error *err)
{
    int64_t pid;
    scope_free char *text = file_read_all(AT_FDCWD, pid_file, 32, NULL, err);
    if (!text)
        return -1;
    text[strcspn(text, "\n")] = '\0';
    unlink(pid_file);
    if (!quantity_read_integer(text, 2, INT32_MAX, &pid))
        return error_set(err, 0, "pasta ended at once");
    container->helper = (struct helper){(pid_t)pid, network_process_start((pid_t)pid)};
    return container_record_set_helper(networks, container->id, &container->helper, err);
}

int rootless_start(struct networks *networks, struct container_record *container, struct error *err)
{
    struct arguments arguments = {0};
    scope_free char *pid_file = memory_format("%s/pasta.%s", networks->directory, container->id);
    compose(networks, container, pid_file, &arguments);
    int result = run(arguments.list, err);
    if (result == 0)
        result = record(networks, container, pid_file, err);
    unlink(pid_file);
    free(arguments.list);
    arena_release(&arguments.arena);
    return result;
}
