/* "NetworkSettings" of Docker's container inspect. */
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "network/network_internal.h"

static json_t *describe_endpoint(const struct network_endpoint *endpoint)
{
    json_t *aliases = json_array();
    for (size_t i = 0; i < endpoint->alias_count; i++)
        json_array_append_new(aliases, json_string(endpoint->aliases[i]));
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:n, s:n, s:n}", "Aliases",
                     aliases, "NetworkID", endpoint->network_id, "EndpointID", endpoint->id,
                     "MacAddress", endpoint->mac, "Gateway", endpoint->gateway4, "IPAddress",
                     endpoint->ip4, "IPPrefixLen", endpoint->ip4_prefix, "IPv6Gateway",
                     endpoint->gateway6, "GlobalIPv6Address", endpoint->ip6, "GlobalIPv6PrefixLen",
                     endpoint->ip6_prefix, "IPAMConfig", "Links", "DriverOpts");
}

static json_t *describe_ports(const struct network_attachment *attachment)
{
    json_t *ports = json_object();
    for (size_t i = 0; i < attachment->port_count; i++) {
        const struct network_port *port = &attachment->ports[i];
        char key[24], number[8];
        snprintf(key, sizeof key, "%d/%s", port->container_port,
                 network_protocol_name(port->protocol));
        snprintf(number, sizeof number, "%d", port->host_first);
        json_t *list = json_object_get(ports, key);
        if (!list) {
            list = json_array();
            json_object_set_new(ports, key, list);
        }
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "HostIp", port->host_address, "HostPort", number));
    }
    return ports;
}

/* The fields of the default network's endpoint stand at the top, too. */
static void describe_default(json_t *settings, const struct network_attachment *attachment)
{
    static const struct network_endpoint none;
    const struct network_endpoint *endpoint = &none;
    for (size_t i = 0; i < attachment->endpoint_count; i++)
        if (strcmp(attachment->endpoints[i].network_name, NETWORK_DEFAULT) == 0)
            endpoint = &attachment->endpoints[i];
    json_t *fields = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:s}", "EndpointID", endpoint->id, "Gateway",
        endpoint->gateway4, "IPAddress", endpoint->ip4, "IPPrefixLen", endpoint->ip4_prefix,
        "IPv6Gateway", endpoint->gateway6, "GlobalIPv6Address", endpoint->ip6,
        "GlobalIPv6PrefixLen", endpoint->ip6_prefix, "MacAddress", endpoint->mac);
    json_object_update(settings, fields);
    json_decref(fields);
}

json_t *network_attachment_describe(const struct network_attachment *attachment)
{
    json_t *networks = json_object();
    const char *path = attachment->namespace_path ? attachment->namespace_path : "";
    const char *name = strrchr(path, '/');
    for (size_t i = 0; i < attachment->endpoint_count; i++)
        json_object_set_new(networks, attachment->endpoints[i].network_name,
                            describe_endpoint(&attachment->endpoints[i]));
    if (attachment->mode == NETWORK_MODE_HOST || attachment->mode == NETWORK_MODE_NONE) {
        static const struct network_endpoint none;
        json_object_set_new(networks, attachment->mode == NETWORK_MODE_HOST ? "host" : "none",
                            describe_endpoint(&none));
    }
    json_t *settings =
        json_pack("{s:s, s:s, s:s, s:o, s:b, s:s, s:i, s:n, s:n}", "Bridge", "", "SandboxID",
                  name ? name + 1 : "", "SandboxKey", path, "Ports", describe_ports(attachment),
                  "HairpinMode", 0, "LinkLocalIPv6Address", "", "LinkLocalIPv6PrefixLen", 0,
                  "SecondaryIPAddresses", "SecondaryIPv6Addresses");
    describe_default(settings, attachment);
    json_object_set_new(settings, "Networks", networks);
    return settings;
}
