#include "network/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/quantity.h"

static int family_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

struct address address_from_bytes(int family, const void *bytes)
{
    struct address address = {.family = family};
    const uint8_t *from = bytes;
    for (int i = 0; i < family_bits(family) / 8; i++)
        address.number = address.number << 8 | from[i];
    return address;
}

size_t address_bytes(const struct address *address, uint8_t bytes[16])
{
    size_t count = (size_t)family_bits(address->family) / 8;
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(address->number >> (8 * (count - 1 - i)));
    return count;
}

bool address_parse(struct address *address, const char *text)
{
    uint8_t bytes[16];
    int family = text && strchr(text, ':') ? AF_INET6 : AF_INET;
    *address = (struct address){0};
    if (!text || inet_pton(family, text, bytes) != 1)
        return false;
    *address = address_from_bytes(family, bytes);
    return true;
}

char *address_format(const struct address *address, char *text)
{
    uint8_t bytes[16];
    *text = '\0';
    if (address->family && address_bytes(address, bytes) > 0)
        inet_ntop(address->family, bytes, text, NETWORK_ADDRESS_SIZE);
    return text;
}

/* The bits after the prefix. */
static address_number host_mask(int family, int prefix)
{
    int bits = family_bits(family) - prefix;
    return bits == 128 ? ~(address_number)0 : ((address_number)1 << bits) - 1;
}

bool subnet_parse(struct subnet *subnet, const char *text)
{
    char copy[NETWORK_ADDRESS_SIZE];
    int64_t prefix;
    *subnet = (struct subnet){0};
    if (!text || (size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return false;
    char *slash = strchr(copy, '/');
    if (!slash)
        return false;
    *slash = '\0';
    struct address base;
    if (!address_parse(&base, copy) ||
        !quantity_read_integer(slash + 1, 0, family_bits(base.family), &prefix))
        return false;
    base.number &= ~host_mask(base.family, (int)prefix);
    *subnet = (struct subnet){.base = base, .prefix = (int)prefix};
    return true;
}

char *subnet_format(const struct subnet *subnet, char *text)
{
    address_format(&subnet->base, text);
    if (subnet->base.family)
        snprintf(text + strlen(text), NETWORK_ADDRESS_SIZE - strlen(text), "/%d", subnet->prefix);
    return text;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->family == b->family && a->number == b->number;
}

bool subnet_contains(const struct subnet *subnet, const struct address *address)
{
    return subnet->base.family == address->family && address->family != 0 &&
           (address->number & ~host_mask(address->family, subnet->prefix)) == subnet->base.number;
}

bool subnet_overlaps(const struct subnet *a, const struct subnet *b)
{
    return a->prefix <= b->prefix ? subnet_contains(a, &b->base) : subnet_contains(b, &a->base);
}

struct address subnet_address(const struct subnet *subnet, address_number offset)
{
    return (struct address){subnet->base.family, subnet->base.number + offset};
}

struct address subnet_last(const struct subnet *subnet)
{
    return subnet_address(subnet, host_mask(subnet->base.family, subnet->prefix));
}

address_number subnet_size(const struct subnet *subnet)
{
    address_number mask = host_mask(subnet->base.family, subnet->prefix);
    return mask == ~(address_number)0 ? mask : mask + 1;
}
