/* How people write ports: -p and --expose. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "network/network_internal.h"

static const char *const protocol_names[] = {"tcp", "udp", "sctp"};

const char *network_protocol_name(enum network_protocol protocol)
{
    return protocol_names[protocol];
}

void network_ports_release(struct network_ports *ports)
{
    free(ports->list);
    *ports = (struct network_ports){0};
}

struct range {
    int64_t first, last;
};

/* "80", "8000-8010" */
static bool read_range(const char *text, struct range *range)
{
    char copy[16];
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return false;
    char *dash = strchr(copy, '-');
    if (dash)
        *dash++ = '\0';
    if (!isdigit((unsigned char)*copy) || !quantity_read_integer(copy, 1, 65535, &range->first))
        return false;
    range->last = range->first;
    return !dash || (isdigit((unsigned char)*dash) &&
                     quantity_read_integer(dash, range->first, 65535, &range->last));
}

/* Takes "/PROTOCOL" off the text. */
static bool read_protocol(char *text, enum network_protocol *protocol)
{
    char *slash = strchr(text, '/');
    *protocol = NETWORK_TCP;
    if (!slash)
        return true;
    *slash++ = '\0';
    for (size_t i = 0; i < sizeof protocol_names / sizeof *protocol_names; i++) {
        if (strcmp(slash, protocol_names[i]) == 0) {
            *protocol = (enum network_protocol)i;
            return true;
        }
    }
    return false;
}

/* Takes the address off the front of "ADDRESS:rest"; an IPv6 address stands in brackets. Returns
 * the rest, or NULL if it is none. */
static char *read_address(char *text, char address[NETWORK_ADDRESS_SIZE])
{
    struct address parsed;
    char *rest;
    *address = '\0';
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end || end[1] != ':')
            return NULL;
        *end = '\0';
        text++;
        rest = end + 2;
    } else {
        char *first = strchr(text, ':'), *last = strrchr(text, ':');
        if (first == last)
            return text; /* HOST:CONTAINER or CONTAINER */
        *last = '\0';
        char *middle = strrchr(text, ':');
        *last = ':';
        *middle = '\0';
        rest = middle + 1;
    }
    if (*text && !address_parse(&parsed, text))
        return NULL;
    if (*text)
        address_format(&parsed, address);
    return rest;
}

static void append(struct network_ports *ports, const struct network_port *port)
{
    ports->list = memory_resize(ports->list, ports->count + 1, sizeof *ports->list);
    ports->list[ports->count++] = *port;
}

/* A range of the container's goes to the host's range of the same length, port by port; a single
 * port to any free one of the host's range. */
static int append_range(struct network_ports *ports, const char *text, struct network_port *port,
                        struct range inside, struct range outside, struct error *err)
{
    int64_t length = inside.last - inside.first;
    if (outside.first != 0 && length > 0 && outside.last - outside.first != length)
        return error_set(err, 0, "port '%s': the host's range is not as long as the container's",
                         text);
    for (int64_t i = 0; i <= length; i++) {
        port->container_port = (uint16_t)(inside.first + i);
        port->host_first = (uint16_t)(outside.first ? outside.first + i : 0);
        port->host_last = length > 0 ? port->host_first : (uint16_t)outside.last;
        append(ports, port);
    }
    return 0;
}

int network_ports_parse(struct network_ports *ports, const char *text, struct error *err)
{
    scope_free char *copy = memory_copy_string(text);
    struct network_port port = {0};
    struct range inside, outside = {0, 0};
    if (!read_protocol(copy, &port.protocol))
        return error_set(err, 0, "port '%s': the protocol is none of tcp, udp, sctp", text);
    char *rest = read_address(copy, port.host_address);
    if (!rest)
        return error_set(err, 0, "port '%s': before the ports stands no IP address", text);
    char *colon = strchr(rest, ':');
    if (colon)
        *colon = '\0';
    if (colon && *rest && strcmp(rest, "0") != 0 && !read_range(rest, &outside))
        return error_set(err, 0, "port '%s': '%s' is no port of the host (1 to 65535)", text, rest);
    if (!read_range(colon ? colon + 1 : rest, &inside))
        return error_set(err, 0,
                         "port '%s': want [HOST-IP:][HOST-PORT[-END]:]PORT[-END][/PROTOCOL]", text);
    return append_range(ports, text, &port, inside, outside, err);
}

int network_ports_parse_exposed(struct network_ports *ports, const char *text, struct error *err)
{
    scope_free char *copy = memory_copy_string(text);
    struct network_port port = {0};
    struct range inside;
    if (!read_protocol(copy, &port.protocol) || !read_range(copy, &inside))
        return error_set(err, 0, "port '%s': want PORT[-END][/PROTOCOL]", text);
    return append_range(ports, text, &port, inside, (struct range){0, 0}, err);
}
