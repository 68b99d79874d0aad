/* Networks, names and addresses. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/scope.h"
#include "cli/quantity.h"
#include "cli/run_flags_internal.h"

static bool is_address(const char *text, int family)
{
    unsigned char bytes[16];
    if (family)
        return inet_pton(family, text, bytes) == 1;
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_mac_address(const char *text)
{
    for (int i = 0; i < 6; i++, text += 3)
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            text[2] != (i < 5 ? ':' : '\0'))
            return false;
    return true;
}

/* HOST:IP or HOST=IP, the address maybe in brackets; HOST:host-gateway */
static int add_host(struct run_flags *flags, const char *flag, const char *value)
{
    size_t length = strcspn(value, ":=");
    const char *address = value + length + (value[length] != '\0');
    size_t size = strlen(address);
    bool in_brackets = size > 2 && address[0] == '[' && address[size - 1] == ']';
    scope_free char *plain = memory_format("%.*s", (int)(in_brackets ? size - 2 : size),
                                           in_brackets ? address + 1 : address);
    if (!length || !value[length])
        return run_flags_fail(flags, flag, value, "expected HOST:IP");
    if (strcmp(plain, "host-gateway") != 0 && !is_address(plain, 0))
        return run_flags_fail(flags, flag, value, "'%s' is no IP address", plain);
    scope_free char *host = memory_format("%.*s:%s", (int)length, value, plain);
    json_array_append_new(run_flags_list(flags->host, "ExtraHosts"),
                          run_flags_text(host, strlen(host)));
    return 0;
}

static int add_server(struct run_flags *flags, const char *flag, const char *value)
{
    if (!is_address(value, 0))
        return run_flags_fail(flags, flag, value, "not an IP address");
    json_array_append_new(run_flags_list(flags->host, "Dns"), json_string(value));
    return 0;
}

static int add_domain(struct run_flags *flags, const char *flag, const char *value)
{
    if (strcmp(value, ".") != 0) {
        for (const char *at = value; *at; at++)
            if (!isalnum((unsigned char)*at) && !strchr("-_.", *at))
                return run_flags_fail(flags, flag, value, "not a domain");
        if (!isalnum((unsigned char)*value) && *value != '_')
            return run_flags_fail(flags, flag, value, "not a domain");
    }
    json_array_append_new(run_flags_list(flags->host, "DnsSearch"), json_string(value));
    return 0;
}

static int add_option(struct run_flags *flags, const char *flag, const char *value)
{
    if (!*value || strpbrk(value, " \t\n"))
        return run_flags_fail(flags, flag, value, "an option is one word");
    json_array_append_new(run_flags_list(flags->host, "DnsOptions"),
                          run_flags_text(value, strlen(value)));
    return 0;
}

/* The endpoint of a network, made if it isn't there; borrowed. */
static json_t *endpoint_of(struct run_flags *flags, const char *network)
{
    json_t *networking = run_flags_map(flags->settings, "NetworkingConfig");
    return run_flags_map(run_flags_map(networking, "EndpointsConfig"), network);
}

static bool is_user_defined(const char *network)
{
    return strcmp(network, "default") != 0 && strcmp(network, "bridge") != 0 &&
           strcmp(network, "host") != 0 && strcmp(network, "none") != 0 &&
           strncmp(network, "container:", 10) != 0;
}

static int set_address(struct run_flags *flags, json_t *endpoint, const char *flag,
                       const char *value, const char *member, int family)
{
    if (!is_address(value, family))
        return run_flags_fail(flags, flag, value, "not an IPv%d address",
                              family == AF_INET ? 4 : 6);
    json_object_set_new(run_flags_map(endpoint, "IPAMConfig"), member, json_string(value));
    return 0;
}

static int add_link_local(struct run_flags *flags, json_t *endpoint, const char *flag,
                          const char *value)
{
    if (!is_address(value, 0))
        return run_flags_fail(flags, flag, value, "not an IP address");
    json_array_append_new(run_flags_list(run_flags_map(endpoint, "IPAMConfig"), "LinkLocalIPs"),
                          json_string(value));
    return 0;
}

static int set_mac_address(struct run_flags *flags, json_t *endpoint, const char *flag,
                           const char *value)
{
    if (!is_mac_address(value))
        return run_flags_fail(flags, flag, value,
                              "not a MAC address (six bytes, such as 92:d0:c6:0a:29:33)");
    json_object_set_new(endpoint, "MacAddress", json_string(value));
    return 0;
}

static int set_driver_option(struct run_flags *flags, json_t *endpoint, const char *value)
{
    size_t length = strcspn(value, "=");
    if (!length || !value[length])
        return run_flags_fail(flags, "network", value, "driver-opt expects KEY=VALUE");
    scope_free char *key = memory_format("%.*s", (int)length, value);
    json_object_set_new(run_flags_map(endpoint, "DriverOpts"), key,
                        run_flags_text(value + length + 1, strlen(value + length + 1)));
    return 0;
}

static int set_field(struct run_flags *flags, json_t *endpoint, const struct run_flags_field *field)
{
    const char *key = field->key, *value = field->value;
    int64_t priority;
    if (!value || !*value)
        return run_flags_fail(flags, "network", key, "needs a value");
    if (strcmp(key, "name") == 0)
        return 0;
    if (strcmp(key, "ip") == 0)
        return set_address(flags, endpoint, "network", value, "IPv4Address", AF_INET);
    if (strcmp(key, "ip6") == 0)
        return set_address(flags, endpoint, "network", value, "IPv6Address", AF_INET6);
    if (strcmp(key, "mac-address") == 0)
        return set_mac_address(flags, endpoint, "network", value);
    if (strcmp(key, "link-local-ip") == 0)
        return add_link_local(flags, endpoint, "network", value);
    if (strcmp(key, "driver-opt") == 0)
        return set_driver_option(flags, endpoint, value);
    if (strcmp(key, "alias") == 0) {
        json_array_append_new(run_flags_list(endpoint, "Aliases"),
                              run_flags_text(value, strlen(value)));
        return 0;
    }
    if (strcmp(key, "gw-priority") == 0) {
        if (!quantity_read_integer(value, INT32_MIN, INT32_MAX, &priority))
            return run_flags_fail(flags, "network", value, "gw-priority is a whole number");
        json_object_set_new(endpoint, "GwPriority", json_integer(priority));
        return 0;
    }
    return run_flags_fail(flags, "network", key, "there is no such key");
}

/* NAME, or name=NAME,alias=…,ip=… */
static int add_network(struct run_flags *flags, const char *flag, const char *value)
{
    struct run_flags_record record;
    const char *name = value;
    int status = run_flags_read_record(flags, flag, value, &record);
    bool is_long = status == 0 && record.fields[0].value;
    for (size_t i = 0; is_long && i < record.count; i++)
        if (strcmp(record.fields[i].key, "name") == 0 && record.fields[i].value)
            name = record.fields[i].value;
    if (status == 0 && (!*name || (is_long && name == value)))
        status = run_flags_fail(flags, flag, value, "the network's name is missing");
    if (status == 0 && is_long && !is_user_defined(name) && record.count > 1)
        status =
            run_flags_fail(flags, flag, value, "only networks of one's own take more than a name");
    if (status == 0 && !json_object_get(flags->host, "NetworkMode"))
        json_object_set_new(flags->host, "NetworkMode", run_flags_text(name, strlen(name)));
    const char *mode = json_string_value(json_object_get(flags->host, "NetworkMode"));
    if (status == 0 && strcmp(mode, name) != 0 &&
        (strcmp(name, "host") == 0 || strcmp(name, "none") == 0 ||
         strncmp(name, "container:", 10) == 0 || strcmp(mode, "host") == 0 ||
         strcmp(mode, "none") == 0 || strncmp(mode, "container:", 10) == 0))
        status = run_flags_fail(flags, flag, value, "doesn't go with network '%s'", mode);
    json_t *endpoint = status == 0 ? endpoint_of(flags, name) : NULL;
    for (size_t i = 0; is_long && status == 0 && i < record.count; i++)
        status = set_field(flags, endpoint, &record.fields[i]);
    arena_release(&record.arena);
    return status;
}

/* --ip and the like are of the first network. */
static int add_endpoint_flags(struct run_flags *flags, const char *network)
{
    const char *ip4 = command_value(flags->line, "ip"), *ip6 = command_value(flags->line, "ip6");
    const char *mac = command_value(flags->line, "mac-address");
    const char **values;
    if (ip4 &&
        set_address(flags, endpoint_of(flags, network), "ip", ip4, "IPv4Address", AF_INET) < 0)
        return -1;
    if (ip6 &&
        set_address(flags, endpoint_of(flags, network), "ip6", ip6, "IPv6Address", AF_INET6) < 0)
        return -1;
    if (mac && set_mac_address(flags, endpoint_of(flags, network), "mac-address", mac) < 0)
        return -1;
    size_t count = command_values(flags->line, "link-local-ip", &values);
    for (size_t i = 0; i < count; i++)
        if (add_link_local(flags, endpoint_of(flags, network), "link-local-ip", values[i]) < 0)
            return -1;
    static const char *const alias_flags[] = {"network-alias", "net-alias"};
    for (size_t i = 0; i < 2; i++) {
        count = command_values(flags->line, alias_flags[i], &values);
        for (size_t j = 0; j < count; j++) {
            if (!is_user_defined(network))
                return run_flags_fail(flags, alias_flags[i], values[j],
                                      "only networks of one's own know aliases (give --network)");
            json_array_append_new(run_flags_list(endpoint_of(flags, network), "Aliases"),
                                  run_flags_text(values[j], strlen(values[j])));
        }
    }
    return 0;
}

static int add_link(struct run_flags *flags, const char *flag, const char *value)
{
    const char *colon = strchr(value, ':');
    if (!*value || colon == value || (colon && (!colon[1] || strchr(colon + 1, ':'))))
        return run_flags_fail(flags, flag, value, "expected CONTAINER or CONTAINER:ALIAS");
    json_array_append_new(run_flags_list(flags->host, "Links"),
                          run_flags_text(value, strlen(value)));
    const char *network = json_string_value(json_object_get(flags->host, "NetworkMode"));
    if (network && is_user_defined(network))
        json_array_append_new(run_flags_list(endpoint_of(flags, network), "Links"),
                              run_flags_text(value, strlen(value)));
    return 0;
}

/* An endpoint without settings of its own is needed only where there are several. */
static void drop_empty_endpoints(struct run_flags *flags)
{
    json_t *networking = json_object_get(flags->settings, "NetworkingConfig");
    json_t *endpoints = json_object_get(networking, "EndpointsConfig"), *only;
    const char *key;
    if (json_object_size(endpoints) != 1)
        return;
    json_object_foreach(endpoints, key, only) if (json_object_size(only) == 0)
    {
        json_object_del(flags->settings, "NetworkingConfig");
        return;
    }
}

int run_flags_add_networks(struct run_flags *flags)
{
    if (run_flags_for_each(flags, "add-host", add_host) < 0 ||
        run_flags_for_each(flags, "dns", add_server) < 0 ||
        run_flags_for_each(flags, "dns-search", add_domain) < 0 ||
        run_flags_for_each(flags, "dns-opt", add_option) < 0 ||
        run_flags_for_each(flags, "dns-option", add_option) < 0 ||
        run_flags_for_each(flags, "net", add_network) < 0 ||
        run_flags_for_each(flags, "network", add_network) < 0)
        return -1;
    if (!json_object_get(flags->host, "NetworkMode"))
        json_object_set_new(flags->host, "NetworkMode", json_string("default"));
    const char *network = json_string_value(json_object_get(flags->host, "NetworkMode"));
    if (add_endpoint_flags(flags, network) < 0 || run_flags_for_each(flags, "link", add_link) < 0)
        return -1;
    drop_empty_endpoints(flags);
    return 0;
}
