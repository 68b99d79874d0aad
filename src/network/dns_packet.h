/* DNS messages (RFC 1035) as far as a resolver for containers' names needs them: the question is
 * read, an answer of addresses or a name is made; everything else is passed on as it is. */
#ifndef HULL_NETWORK_DNS_PACKET_H
#define HULL_NETWORK_DNS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DNS_NAME_SIZE 256 /* 253 characters at most, RFC 1035 2.3.4 */
#define DNS_UDP_SIZE 65535
#define DNS_PLAIN_SIZE 512 /* what may be sent by UDP to who doesn't say more, 4.2.1 */
#define DNS_HEADER_SIZE 12

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_OPT = 41,
    DNS_AAAA = 28,
    DNS_ANY = 255,
};

enum dns_code {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
};

struct dns_question {
    uint16_t id;
    char name[DNS_NAME_SIZE]; /* in lower case, without the last dot; "" is the root */
    uint16_t type, class;
    size_t end;      /* of the question in the message */
    size_t udp_size; /* how long an answer by UDP may be */
};

/* Reads a query with one question. What isn't one is refused with the code to answer, or -1 if
 * nothing must be answered. */
int dns_parse_query(const uint8_t *message, size_t length, struct dns_question *question);

/* Whether an upstream's message answers the query: the same id and question. */
bool dns_is_answer(const uint8_t *query, size_t query_length, const uint8_t *answer, size_t length);
/* Marks the message as cut off after its question, and returns its length. */
size_t dns_truncate(uint8_t *message, size_t end);

/* An address of 4 or 16 bytes. */
struct dns_address {
    uint8_t bytes[16];
    size_t length;
};

/* Makes an answer to the query in out (size bytes); returns its length. Addresses that don't fit
 * are left out, which the header says. */
size_t dns_compose_code(const uint8_t *query, const struct dns_question *question,
                        enum dns_code code, uint8_t *out, size_t size);
size_t dns_compose_addresses(const uint8_t *query, const struct dns_question *question,
                             const struct dns_address *addresses, size_t count, uint8_t *out,
                             size_t size);
size_t dns_compose_name(const uint8_t *query, const struct dns_question *question, const char *name,
                        uint8_t *out, size_t size);

/* "4.3.2.1.in-addr.arpa" and its IPv6 counterpart. */
bool dns_parse_reverse(const char *name, struct dns_address *address);

#endif
