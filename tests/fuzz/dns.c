/* network/dns_packet: whatever a container or a server sends is refused, or read within its length;
 * and what is answered is an answer to it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/dns_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const uint8_t *query, size_t length, const uint8_t *answer, size_t size)
{
    if (size > 0 && !dns_is_answer(query, length, answer, size))
        abort();
}

static void answer_query(const uint8_t *query, size_t length, const struct dns_question *question,
                         size_t room)
{
    static const struct dns_address addresses[3] = {
        {{10, 0, 0, 1}, 4}, {{0xfd, 1}, 16}, {{10, 0, 0, 2}, 4}};
    uint8_t *out = malloc(room ? room : 1);
    struct dns_address address;
    size_t size = dns_compose_addresses(query, question, addresses, 3, out, room);
    check_answer(query, length, out, size);
    size = dns_compose_name(query, question, "name.network", out, room);
    check_answer(query, length, out, size);
    size = dns_compose_code(query, question, DNS_SERVFAIL, out, room);
    check_answer(query, length, out, size);
    if (size > 0)
        dns_truncate(out, question->end);
    dns_parse_reverse(question->name, &address);
    free(out);
}

static void read_files(const uint8_t *data, size_t size)
{
    struct dns_names names;
    struct dns_upstream upstreams[DNS_UPSTREAMS];
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (dns_names_parse(&names, text, NULL) == 0)
        dns_names_release(&names);
    memcpy(text, data, size);
    dns_upstreams_parse(upstreams, text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_question question;
    if (size < 2)
        return 0;
    size_t room = data[0] * 4u, split = data[1];
    data += 2;
    size -= 2;
    if (dns_parse_query(data, size, &question) == DNS_NOERROR) {
        if (question.end > size || strlen(question.name) >= DNS_NAME_SIZE)
            abort();
        answer_query(data, size, &question, room);
    }
    if (split < size && split >= DNS_HEADER_SIZE)
        dns_is_answer(data, split, data + split, size - split);
    read_files(data, size);
    return 0;
}
