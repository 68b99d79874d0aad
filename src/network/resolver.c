/* hull's side of the resolver hull-dns: the file that tells it all names, and its start.
 *
 * RUN_ROOT/network/names has lines of words:
 *     network ID NAME              names that follow are known to containers in it
 *     name NAME ADDRESS            for the last network; an address may have several names
 *     container ID internal|open   who asks through 127.0.0.11
 *     at ADDRESS                   where it asks, instead of that
 *     in NETWORK-ID                for the last container
 *     upstream ADDRESS             for the last container, instead of the host's
 * It is replaced as a whole, then the resolver is told through RUN_ROOT/network/dns.sock, and
 * answers when it has read it and listens in every container's namespace. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "network/helper.h"
#include "network/network_internal.h"
#include "network/wire.h"

#define ANSWER_MILLISECONDS 10000

static void write_name(FILE *out, const char *name, const struct network_endpoint *endpoint)
{
    /* What isn't one word can't be a host's name either. */
    if (!*name || strpbrk(name, " \t\r\n"))
        return;
    if (*endpoint->ip4)
        fprintf(out, "name %s %s\n", name, endpoint->ip4);
    if (*endpoint->ip6)
        fprintf(out, "name %s %s\n", name, endpoint->ip6);
}

static void write_endpoint_names(FILE *out, const struct container_record *container,
                                 const struct network_endpoint *endpoint)
{
    char short_id[13];
    snprintf(short_id, sizeof short_id, "%.12s", container->id);
    write_name(out, container->name, endpoint);
    for (size_t i = 0; i < endpoint->alias_count; i++)
        write_name(out, endpoint->aliases[i], endpoint);
    write_name(out, short_id, endpoint);
}

static void write_network(FILE *out, const struct network_record *network,
                          const struct container_record *containers, size_t count)
{
    if (!*network->interface || strcmp(network->name, NETWORK_DEFAULT) == 0)
        return; /* docker's default network has no names either */
    fprintf(out, "network %s %s\n", network->id, network->name);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < containers[i].endpoint_count; j++)
            if (strcmp(containers[i].endpoints[j].public.network_id, network->id) == 0)
                write_endpoint_names(out, &containers[i], &containers[i].endpoints[j].public);
}

static void write_container(FILE *out, const struct container_record *container)
{
    bool internal = true;
    size_t i;
    const json_t *server;
    for (i = 0; i < container->endpoint_count; i++)
        internal = internal && container->endpoints[i].internal;
    fprintf(out, "container %s %s\n", container->id, internal ? "internal" : "open");
    if (wire_is_wanted(container, NULL))
        fputs("at " NETWORK_MACHINE_RESOLVER "\n", out);
    for (i = 0; i < container->endpoint_count; i++)
        fprintf(out, "in %s\n", container->endpoints[i].public.network_id);
    json_array_foreach(json_object_get(container->settings, "dns"), i, server)
        fprintf(out, "upstream %s\n", json_string_value(server));
}

struct everybody {
    struct container_record *containers;
    size_t count, asking; /* of them use the resolver */
};

static int load_state(struct networks *networks, enum container_state state,
                      struct everybody *everybody, struct error *err)
{
    char **ids;
    size_t count;
    int result = container_record_list(networks, state, &ids, &count, err);
    everybody->containers = memory_resize(everybody->containers, everybody->count + count,
                                          sizeof *everybody->containers);
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct container_record *container = &everybody->containers[everybody->count];
        int found = container_record_load(networks, ids[i], container, err);
        everybody->count += found == 1;
        result = found < 0 ? -1 : 0;
    }
    network_free_names(ids, count);
    return result;
}

static char *compose(struct networks *networks, struct everybody *everybody, struct error *err)
{
    struct network_record *records;
    size_t count, size;
    char *text = NULL;
    if (load_state(networks, CONTAINER_READY, everybody, err) < 0 ||
        load_state(networks, CONTAINER_MAKING, everybody, err) < 0 ||
        network_record_list(networks, &records, &count, err) < 0)
        return NULL;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < count; i++)
        write_network(out, &records[i], everybody->containers, everybody->count);
    for (size_t i = 0; i < everybody->count; i++) {
        if (!network_uses_resolver(networks, &everybody->containers[i]))
            continue;
        write_container(out, &everybody->containers[i]);
        everybody->asking++;
    }
    fclose(out);
    network_record_release_list(records, count);
    return text;
}

static int replace_file(int directory, const char *name, const char *text, struct error *err)
{
    scope_free char *beside = memory_format("%s.new", name);
    scope_close int fd =
        openat(directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0 ||
        renameat(directory, beside, directory, name) < 0)
        return error_set(err, errno, "can't write %s", name);
    return 0;
}

/* Through the directory's descriptor: a run root's path may be longer than an address has room. */
static void socket_address(int directory, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/dns.sock", directory);
}

static int make_listener(int directory, struct error *err)
{
    struct sockaddr_un address;
    socket_address(directory, &address);
    unlinkat(directory, "dns.sock", 0);
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);
    int result = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (result < 0 || listen(fd, 16) < 0) {
        error_set(err, errno, "can't make the resolver's socket");
        return -1;
    }
    return scope_take_fd(&fd);
}

/* Whoever connects from now on waits until it is ready. */
static int start(struct networks *networks, int directory, struct error *err)
{
    scope_free char *program = helper_find("hull-dns");
    const char *const argv[] = {program, networks->directory, NULL};
    struct helper helper;
    scope_close int listener = make_listener(directory, err);
    scope_close int input = -1;
    if (listener < 0 || helper_start(argv, &listener, 1, &helper, &input, err) < 0)
        return -1;
    return 0;
}

static int connect_resolver(int directory)
{
    struct sockaddr_un address;
    socket_address(directory, &address);
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return scope_take_fd(&fd);
}

/* 1: it has read the names; 0: it ended instead, or there is none. */
static int tell(int directory, struct error *err)
{
    char answer[256];
    scope_close int fd = connect_resolver(directory);
    if (fd < 0 || send(fd, "r", 1, MSG_NOSIGNAL) != 1)
        return 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int result = poll(&ready, 1, ANSWER_MILLISECONDS);
    if (result == 0)
        return error_set(err, ETIMEDOUT, "the resolver hull-dns doesn't answer");
    ssize_t length = recv(fd, answer, sizeof answer - 1, 0);
    if (length <= 0)
        return 0;
    answer[length] = '\0';
    return answer[0] == '+' ? 1 : error_set(err, 0, "hull-dns: %s", answer + 1);
}

static int update(struct networks *networks, int directory, struct everybody *everybody,
                  struct error *err)
{
    scope_free char *text = compose(networks, everybody, err);
    if (!text)
        return -1;
    if (everybody->asking == 0 && faccessat(directory, "names", F_OK, 0) < 0)
        return 0;
    if (replace_file(directory, "names", text, err) < 0)
        return -1;
    int told = tell(directory, err);
    if (told != 0 || everybody->asking == 0)
        return told < 0 ? -1 : 0;
    if (start(networks, directory, err) < 0)
        return -1;
    told = tell(directory, err);
    return told == 0 ? error_set(err, 0, "the resolver hull-dns ended at its start") : told;
}

int resolver_update(struct networks *networks, struct error *err)
{
    struct everybody everybody = {0};
    scope_close int lock = network_lock(networks, err);
    if (lock < 0)
        return -1;
    scope_close int directory = open(networks->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't open %s", networks->directory);
    int result = update(networks, directory, &everybody, err);
    if (result >= 0 && everybody.asking == 0) {
        unlinkat(directory, "names", 0);
        unlinkat(directory, "dns.sock", 0);
    }
    for (size_t i = 0; i < everybody.count; i++)
        container_record_release(&everybody.containers[i]);
    free(everybody.containers);
    return result < 0 ? -1 : 0;
}
