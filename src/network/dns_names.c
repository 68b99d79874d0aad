#include "network/dns_names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define PORT 53

static bool parse_address(struct dns_address *address, const char *text)
{
    bool is6 = strchr(text, ':') != NULL;
    address->length = is6 ? 16 : 4;
    return inet_pton(is6 ? AF_INET6 : AF_INET, text, address->bytes) == 1;
}

bool dns_upstream_parse(struct dns_upstream *upstream, const char *text)
{
    *upstream = (struct dns_upstream){0};
    struct sockaddr_in *in = (struct sockaddr_in *)&upstream->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&upstream->address;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(PORT);
        upstream->length = sizeof *in;
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(PORT);
    upstream->length = sizeof *in6;
    return true;
}

size_t dns_upstreams_parse(struct dns_upstream upstreams[DNS_UPSTREAMS], char *text)
{
    size_t count = 0;
    for (char *line; count < DNS_UPSTREAMS && (line = strsep(&text, "\n"));) {
        char *rest, *keyword = strtok_r(line, " \t\r", &rest);
        char *value = keyword ? strtok_r(NULL, " \t\r", &rest) : NULL;
        if (value && strcmp(keyword, "nameserver") == 0 &&
            dns_upstream_parse(&upstreams[count], value))
            count++;
    }
    return count;
}

static char *copy_lower(struct arena *arena, const char *text)
{
    char *copy = arena_copy_string(arena, text);
    for (char *at = copy; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return copy;
}

static void add_name(struct dns_names *names, const char *name, const struct dns_address *address)
{
    struct dns_network *network = &names->networks[names->network_count - 1];
    if (network->count == network->room) {
        network->room = network->room ? 2 * network->room : 16;
        network->names = memory_resize(network->names, network->room, sizeof *network->names);
    }
    network->names[network->count++] = (struct dns_name){copy_lower(&names->arena, name), *address};
}

static void join_network(struct dns_names *names, const char *id)
{
    struct dns_container *container = &names->containers[names->container_count - 1];
    for (size_t i = 0; i < names->network_count; i++) {
        if (strcmp(names->networks[i].id, id) != 0)
            continue;
        container->networks = memory_resize(container->networks, container->network_count + 1,
                                            sizeof *container->networks);
        container->networks[container->network_count++] = &names->networks[i];
    }
}

static bool take_line(struct dns_names *names, const char *keyword, const char *first,
                      const char *second)
{
    struct dns_address address;
    struct dns_upstream upstream;
    struct dns_container *container =
        names->container_count ? &names->containers[names->container_count - 1] : NULL;
    if (strcmp(keyword, "network") == 0 && second) {
        names->networks[names->network_count++] =
            (struct dns_network){.id = arena_copy_string(&names->arena, first),
                                 .name = copy_lower(&names->arena, second)};
    } else if (strcmp(keyword, "name") == 0 && second && names->network_count > 0 &&
               parse_address(&address, second)) {
        add_name(names, first, &address);
    } else if (strcmp(keyword, "container") == 0 && second && strlen(first) < DNS_ID_SIZE) {
        container = &names->containers[names->container_count++];
        *container = (struct dns_container){.internal = strcmp(second, "internal") == 0,
                                            .asks_at.s_addr = htonl(0x7f00000b)}; /* 127.0.0.11 */
        snprintf(container->id, sizeof container->id, "%s", first);
    } else if (strcmp(keyword, "at") == 0 && container) {
        return inet_pton(AF_INET, first, &container->asks_at) == 1;
    } else if (strcmp(keyword, "in") == 0 && container) {
        join_network(names, first);
    } else if (strcmp(keyword, "upstream") == 0 && container &&
               dns_upstream_parse(&upstream, first)) {
        if (container->upstream_count < DNS_UPSTREAMS)
            container->upstreams[container->upstream_count++] = upstream;
    } else {
        return false;
    }
    return true;
}

int dns_names_parse(struct dns_names *names, char *text, struct error *err)
{
    size_t lines = 1;
    *names = (struct dns_names){0};
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    /* Pointers into the first are kept while it grows: room for the most there can be. */
    names->networks = memory_allocate(lines, sizeof *names->networks);
    names->containers = memory_allocate(lines, sizeof *names->containers);
    for (char *line; (line = strsep(&text, "\n"));) {
        char *rest, *keyword = strtok_r(line, " ", &rest);
        char *first = keyword ? strtok_r(NULL, " ", &rest) : NULL;
        char *second = first ? strtok_r(NULL, " ", &rest) : NULL;
        if (keyword && (!first || !take_line(names, keyword, first, second))) {
            error_set(err, 0, "the file of names has a bad line of '%.20s'", keyword);
            dns_names_release(names);
            return -1;
        }
    }
    return 0;
}

void dns_names_release(struct dns_names *names)
{
    for (size_t i = 0; i < names->network_count; i++)
        free(names->networks[i].names);
    for (size_t i = 0; i < names->container_count; i++)
        free(names->containers[i].networks);
    free(names->networks);
    free(names->containers);
    arena_release(&names->arena);
    *names = (struct dns_names){0};
}

const struct dns_container *dns_names_find_container(const struct dns_names *names, const char *id)
{
    for (size_t i = 0; i < names->container_count; i++)
        if (strcmp(names->containers[i].id, id) == 0)
            return &names->containers[i];
    return NULL;
}

/* Whether name is own, or own.NETWORK. */
static bool is_name(const char *name, const char *own, const char *network)
{
    size_t length = strlen(own);
    if (strncmp(name, own, length) != 0)
        return false;
    return !name[length] || (name[length] == '.' && strcmp(name + length + 1, network) == 0);
}

bool dns_names_look_up(const struct dns_container *container, const char *name, size_t length,
                       struct dns_address **addresses, size_t *count)
{
    bool known = false;
    *addresses = NULL;
    *count = 0;
    for (size_t i = 0; i < container->network_count; i++) {
        const struct dns_network *network = container->networks[i];
        for (size_t j = 0; j < network->count; j++) {
            const struct dns_name *entry = &network->names[j];
            if (!is_name(name, entry->name, network->name))
                continue;
            known = true;
            if (length != 0 && entry->address.length != length)
                continue;
            *addresses = memory_resize(*addresses, *count + 1, sizeof **addresses);
            (*addresses)[(*count)++] = entry->address;
        }
    }
    return known;
}

char *dns_names_look_up_address(const struct dns_container *container,
                                const struct dns_address *address)
{
    for (size_t i = 0; i < container->network_count; i++) {
        const struct dns_network *network = container->networks[i];
        for (size_t j = 0; j < network->count; j++)
            if (network->names[j].address.length == address->length &&
                memcmp(network->names[j].address.bytes, address->bytes, address->length) == 0)
                return memory_format("%s.%s", network->names[j].name, network->name);
    }
    return NULL;
}
