/* image/registry_header: whatever a registry sends in a header field, it is taken in part or not at
 * all, and what was taken makes sense. The first byte says which field it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/registry_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_length(const char *part, size_t whole)
{
    check(!part || strlen(part) <= whole);
}

static void parse_challenge(const char *field, struct arena *arena)
{
    struct registry_challenge challenge = {0};
    registry_parse_challenge(field, arena, &challenge);
    check_length(challenge.realm, strlen(field));
    check_length(challenge.service, strlen(field));
    check_length(challenge.scope, strlen(field));
    check_length(challenge.error, strlen(field));
    check(challenge.bearer || !challenge.realm);
}

static void parse_range(const char *field)
{
    int64_t first, last, total, next = -1;
    if (registry_parse_content_range(field, &first, &last, &total))
        check(first >= 0 && first <= last && (total == -1 || last < total));
    if (registry_parse_upload_range(field, &next))
        check(next >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    if (size == 0 || size > 16384)
        return 0;
    char *field = malloc(size); /* of just that size, so that a byte too far is seen */
    memcpy(field, data + 1, size - 1);
    field[size - 1] = '\0';
    switch (data[0] % 4) {
    case 0:
        parse_challenge(field, &arena);
        break;
    case 1:
        check_length(registry_parse_next_link(field, &arena), strlen(field));
        break;
    case 2:
        parse_range(field);
        break;
    default:
        check(registry_parse_retry_after(field, 1700000000) >= -1);
    }
    free(field);
    arena_release(&arena);
    return 0;
}
