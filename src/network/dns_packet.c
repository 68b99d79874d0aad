#include "network/dns_packet.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TTL 5 /* seconds: containers come and go */

enum {
    FLAG_ANSWER = 0x80, /* byte 2 */
    FLAG_OPCODE = 0x78,
    FLAG_AUTHORITATIVE = 0x04,
    FLAG_TRUNCATED = 0x02,
    FLAG_RECURSION_DESIRED = 0x01,
    FLAG_RECURSION_AVAILABLE = 0x80, /* byte 3 */
};

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t *put16(uint8_t *at, unsigned int value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

/* Reads labels without compression, which a question can't have: 255 bytes with their lengths and
 * the last zero (RFC 1035 2.3.4). Returns the position after them,
 * or 0. A byte that can't be in a host's name makes the name one that nobody has. */
static size_t read_name(const uint8_t *message, size_t length, size_t at, char *name)
{
    size_t used = 0;
    for (;;) {
        if (at >= length)
            return 0;
        size_t label = message[at++];
        if (label == 0)
            break;
        if (label > 63 || label > length - at || used + label + 2 >= DNS_NAME_SIZE)
            return 0;
        for (size_t i = 0; i < label; i++) {
            unsigned char byte = message[at + i];
            name[used++] = byte > ' ' && byte < 127 && byte != '.' ? (char)tolower(byte) : '?';
        }
        name[used++] = '.';
        at += label;
    }
    name[used > 0 ? used - 1 : 0] = '\0';
    return at;
}

/* EDNS (RFC 6891 6.1.2): an OPT record among the additional ones says how much the asker can
 * take. Only the usual place is looked at: first after the question. */
static size_t read_udp_size(const uint8_t *message, size_t length, size_t at)
{
    if (get16(message + 6) != 0 || get16(message + 8) != 0 || get16(message + 10) == 0 ||
        length - at < 11 || message[at] != 0 || get16(message + at + 1) != DNS_OPT)
        return DNS_PLAIN_SIZE;
    size_t size = get16(message + at + 3);
    return size < DNS_PLAIN_SIZE ? DNS_PLAIN_SIZE : size;
}

int dns_parse_query(const uint8_t *message, size_t length, struct dns_question *question)
{
    *question = (struct dns_question){.udp_size = DNS_PLAIN_SIZE};
    if (length < DNS_HEADER_SIZE || (message[2] & FLAG_ANSWER))
        return -1;
    question->id = get16(message);
    question->end = DNS_HEADER_SIZE;
    if (message[2] & FLAG_OPCODE)
        return DNS_NOTIMP;
    if (get16(message + 4) != 1)
        return DNS_FORMERR;
    size_t at = read_name(message, length, DNS_HEADER_SIZE, question->name);
    if (at == 0 || length - at < 4)
        return DNS_FORMERR;
    question->type = get16(message + at);
    question->class = get16(message + at + 2);
    question->end = at + 4;
    question->udp_size = read_udp_size(message, length, question->end);
    return DNS_NOERROR;
}

bool dns_is_answer(const uint8_t *query, size_t query_length, const uint8_t *answer, size_t length)
{
    struct dns_question asked, answered;
    if (length < DNS_HEADER_SIZE || !(answer[2] & FLAG_ANSWER) || get16(query) != get16(answer) ||
        dns_parse_query(query, query_length, &asked) != DNS_NOERROR)
        return false;
    /* An error's question may be left out. */
    if (get16(answer + 4) == 0)
        return (answer[3] & 0x0f) != 0;
    if (get16(answer + 4) != 1)
        return false;
    size_t at = read_name(answer, length, DNS_HEADER_SIZE, answered.name);
    return at != 0 && length - at >= 4 && strcmp(asked.name, answered.name) == 0 &&
           get16(answer + at) == asked.type && get16(answer + at + 2) == asked.class;
}

size_t dns_truncate(uint8_t *message, size_t end)
{
    message[2] |= FLAG_TRUNCATED;
    memset(message + 6, 0, 6);
    return end;
}

/* The header and the question; answers count 0. */
static uint8_t *begin(const uint8_t *query, const struct dns_question *question, enum dns_code code,
                      uint8_t *out)
{
    bool has_question = question->end > DNS_HEADER_SIZE;
    memcpy(out, query, question->end);
    out[2] = (uint8_t)(FLAG_ANSWER | (query[2] & (FLAG_OPCODE | FLAG_RECURSION_DESIRED)));
    out[3] = (uint8_t)(FLAG_RECURSION_AVAILABLE | code);
    put16(out + 4, has_question);
    memset(out + 6, 0, 6);
    return out + question->end;
}

size_t dns_compose_code(const uint8_t *query, const struct dns_question *question,
                        enum dns_code code, uint8_t *out, size_t size)
{
    if (size < question->end)
        return 0;
    return (size_t)(begin(query, question, code, out) - out);
}

/* The name is a pointer to the question's (4.1.4). */
static uint8_t *put_record(uint8_t *at, enum dns_type type, size_t length)
{
    at = put16(at, 0xc000 | DNS_HEADER_SIZE);
    at = put16(at, type);
    at = put16(at, 1); /* class IN */
    at = put16(at, 0);
    at = put16(at, TTL);
    return put16(at, (unsigned int)length);
}

#define RECORD_SIZE 12

size_t dns_compose_addresses(const uint8_t *query, const struct dns_question *question,
                             const struct dns_address *addresses, size_t count, uint8_t *out,
                             size_t size)
{
    if (size < question->end)
        return 0;
    uint8_t *at = begin(query, question, DNS_NOERROR, out);
    unsigned int written = 0;
    for (size_t i = 0; i < count && written < 0xffff; i++) {
        if (size - (size_t)(at - out) < RECORD_SIZE + addresses[i].length) {
            out[2] |= FLAG_TRUNCATED;
            break;
        }
        at = put_record(at, addresses[i].length == 4 ? DNS_A : DNS_AAAA, addresses[i].length);
        memcpy(at, addresses[i].bytes, addresses[i].length);
        at += addresses[i].length;
        written++;
    }
    put16(out + 6, written);
    return (size_t)(at - out);
}

/* Into at, of DNS_NAME_SIZE bytes; its length, or 0 if it is no name. */
static size_t write_name(const char *name, uint8_t *at)
{
    size_t used = 0;
    while (*name) {
        size_t label = strcspn(name, ".");
        if (label == 0 || label > 63 || used + label + 2 >= DNS_NAME_SIZE)
            return 0;
        at[used++] = (uint8_t)label;
        memcpy(at + used, name, label);
        used += label;
        name += label + (name[label] == '.');
    }
    at[used++] = 0;
    return used;
}

size_t dns_compose_name(const uint8_t *query, const struct dns_question *question, const char *name,
                        uint8_t *out, size_t size)
{
    uint8_t encoded[DNS_NAME_SIZE];
    size_t length = write_name(name, encoded);
    if (length == 0 || size < question->end + RECORD_SIZE + length)
        return dns_compose_code(query, question, DNS_SERVFAIL, out, size);
    uint8_t *at = begin(query, question, DNS_NOERROR, out);
    at = put_record(at, DNS_PTR, length);
    memcpy(at, encoded, length);
    put16(out + 6, 1);
    return (size_t)(at - out) + length;
}

/* ---- Reverse names -----------------------------------------------------------------------------
 */

static bool parse_reverse4(const char *name, struct dns_address *address)
{
    unsigned int parts[4];
    int end = 0;
    if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &parts[3], &parts[2], &parts[1], &parts[0],
               &end) != 4 ||
        end == 0 || name[end])
        return false;
    for (int i = 0; i < 4; i++) {
        if (parts[i] > 255)
            return false;
        address->bytes[i] = (uint8_t)parts[i];
    }
    address->length = 4;
    return true;
}

/* RFC 3596 2.5: a digit a label, the last first. */
static bool parse_reverse6(const char *name, struct dns_address *address)
{
    static const char digits[] = "0123456789abcdef";
    memset(address->bytes, 0, sizeof address->bytes);
    for (int i = 31; i >= 0; i--, name += 2) {
        const char *digit = *name ? strchr(digits, *name) : NULL;
        if (!digit || name[1] != '.')
            return false;
        address->bytes[i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 0 : 4));
    }
    address->length = 16;
    return strcmp(name, "ip6.arpa") == 0;
}

bool dns_parse_reverse(const char *name, struct dns_address *address)
{
    return parse_reverse4(name, address) || parse_reverse6(name, address);
}
