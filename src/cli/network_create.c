#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "cli/network_verb.h"

#define MAXIMUM_POOLS 16

static const struct command_flag flags[] = {
    {.name = "attachable", .help = "noted; any container may attach"},
    {.name = "driver",
     .letter = 'd',
     .argument = "DRIVER",
     .help = "how it is made",
     .default_text = "bridge, which is the only one"},
    {.name = "gateway",
     .argument = "ADDRESS",
     .repeats = true,
     .help = "the host's address in the subnet",
     .default_text = "the subnet's first"},
    {.name = "internal", .help = "no way out, and none in but from the host"},
    {.name = "ip-range",
     .argument = "SUBNET",
     .repeats = true,
     .help = "the part of the subnet that containers get addresses from"},
    {.name = "ipv6", .help = "an IPv6 subnet too"},
    {.name = "label", .argument = "KEY=VALUE", .repeats = true, .help = "note this with it"},
    {.name = "opt",
     .letter = 'o',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "bridge=NAME, mtu=N, icc=false, masquerade=false, host-binding=ADDRESS"},
    {.name = "subnet",
     .argument = "SUBNET",
     .repeats = true,
     .help = "10.30.0.0/24 or fd00:30::/64",
     .default_text = "one of hull's pools"},
    {0},
};

struct pools {
    struct network_pool list[MAXIMUM_POOLS];
    size_t count;
};

/* Whether the address or subnet lies in the subnet, as docker finds the --subnet that a --gateway
 * belongs to. */
static bool lies_in(const char *text, const char *subnet)
{
    unsigned char inner[16], outer[16];
    int family = strchr(subnet, ':') ? AF_INET6 : AF_INET;
    scope_free char *address = memory_format("%.*s", (int)strcspn(text, "/"), text);
    scope_free char *base = memory_copy_string(subnet);
    base[strcspn(base, "/")] = '\0';
    int prefix = strchr(subnet, '/') ? atoi(strchr(subnet, '/') + 1) : 0;
    if (inet_pton(family, address, inner) != 1 || inet_pton(family, base, outer) != 1)
        return false;
    for (int bit = 0; bit < prefix && bit < (family == AF_INET ? 32 : 128); bit++)
        if ((inner[bit / 8] ^ outer[bit / 8]) & (0x80 >> bit % 8))
            return false;
    return true;
}

static int place(struct pools *pools, const char *flag, const char *value, bool gateway,
                 struct error *err)
{
    for (size_t i = 0; i < pools->count; i++) {
        const char **slot = gateway ? &pools->list[i].gateway : &pools->list[i].ip_range;
        if (lies_in(value, pools->list[i].subnet)) {
            *slot = value;
            return 0;
        }
    }
    return error_set(err, 0, "--%s %s lies in no --subnet given", flag, value);
}

static int read_pools(struct command_line *line, struct pools *pools, struct error *err)
{
    const char **values;
    size_t count = command_values(line, "subnet", &values);
    if (count > MAXIMUM_POOLS)
        return error_set(err, 0, "too many --subnet");
    for (size_t i = 0; i < count; i++)
        pools->list[pools->count++].subnet = values[i];
    count = command_values(line, "gateway", &values);
    for (size_t i = 0; i < count; i++)
        if (place(pools, "gateway", values[i], true, err) < 0)
            return -1;
    count = command_values(line, "ip-range", &values);
    for (size_t i = 0; i < count; i++)
        if (place(pools, "ip-range", values[i], false, err) < 0)
            return -1;
    return 0;
}

static int create(struct cli_context *context, struct engine *engine, struct networks *networks,
                  struct error *err)
{
    struct command_line *line = context->line;
    struct pools pools = {0};
    char id[NETWORK_ID_SIZE];
    if (read_pools(line, &pools, err) < 0)
        return -1;
    const char **labels, **options;
    struct network_settings settings = {
        .name = line->arguments[0],
        .driver = command_value(line, "driver"),
        .pools = pools.list,
        .pool_count = pools.count,
        .internal = command_given(line, "internal"),
        .ipv6 = command_given(line, "ipv6"),
        .attachable = command_given(line, "attachable"),
    };
    settings.label_count = command_values(line, "label", &labels);
    settings.option_count = command_values(line, "opt", &options);
    settings.labels = labels;
    settings.options = options;
    if (network_create(networks, &settings, id, err) < 0)
        return -1;
    printf("%s\n", id);
    json_t *attributes = json_pack("{s:s, s:s}", "name", settings.name, "type", "bridge");
    engine_emit(engine, "network", "create", id, attributes);
    return 0;
}

static int run_network_create(struct cli_context *context, struct error *err)
{
    return network_verb_run(context, create, err);
}

const struct cli_verb cli_network_create = {
    .command = {.name = "network create",
                .arguments = "NETWORK",
                .summary = "make a network",
                .description =
                    "Containers in it find each other by name. Prints its id.\n\n"
                    "    hull network create --subnet 10.30.0.0/24 --subnet fd00:30::/64 web",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1,
                .makes_object = true},
    .run = run_network_create,
};
