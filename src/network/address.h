/* IP addresses and subnets as numbers, so that ranges, overlaps and "the next one" are arithmetic.
 */
#ifndef HULL_NETWORK_ADDRESS_H
#define HULL_NETWORK_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/network.h"

typedef unsigned __int128 address_number;

struct address {
    int family; /* AF_INET, AF_INET6, or 0: none */
    address_number number;
};

struct subnet {
    struct address base; /* its bits after the prefix are 0 */
    int prefix;
};

/* "10.0.0.1", "fd00::1". */
bool address_parse(struct address *address, const char *text);
/* "10.0.0.0/24": bits after the prefix may be set, and become 0. */
bool subnet_parse(struct subnet *subnet, const char *text);
/* Into text, of NETWORK_ADDRESS_SIZE bytes; "" for none. Both return text. */
char *address_format(const struct address *address, char *text);
char *subnet_format(const struct subnet *subnet, char *text);

/* 4 or 16 bytes in network order, as messages have them. */
size_t address_bytes(const struct address *address, uint8_t bytes[16]);
struct address address_from_bytes(int family, const void *bytes);

bool address_equal(const struct address *a, const struct address *b);
bool subnet_contains(const struct subnet *subnet, const struct address *address);
bool subnet_overlaps(const struct subnet *a, const struct subnet *b);

/* The address that many after the subnet's base. */
struct address subnet_address(const struct subnet *subnet, address_number offset);
struct address subnet_last(const struct subnet *subnet);
/* How many addresses it has; for ::/0 the largest number. */
address_number subnet_size(const struct subnet *subnet);

#endif
