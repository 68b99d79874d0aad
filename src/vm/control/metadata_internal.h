/* Between the files of the metadata service. */
#ifndef HULL_VM_CONTROL_METADATA_INTERNAL_H
#define HULL_VM_CONTROL_METADATA_INTERNAL_H

#include "vm/control/metadata.h"

#define METADATA_TOKEN_BYTES 32
#define METADATA_MAX_TOKENS 256

/* As text: two hexadecimal digits a byte. */
struct metadata_token {
    char text[2 * METADATA_TOKEN_BYTES + 1];
};

/* Tokens that were given out; when there is no room the one that would end first gives way. */
struct metadata_tokens {
    struct {
        struct metadata_token token;
        int64_t ends; /* ms of the monotonic clock; 0: a free place */
    } items[METADATA_MAX_TOKENS];
};

struct metadata {
    json_t *content; /* NULL before the first put */
    size_t limit;
    enum metadata_version version;
    bool imds_compat;
    struct metrics_mmds *counters; /* or NULL */
    struct metadata_tokens tokens;
};

/* A new token that is valid for so many seconds; -1 if the kernel gives no random bytes. */
int metadata_token_make(struct metadata_tokens *tokens, int64_t now, unsigned ttl,
                        struct metadata_token *token);
bool metadata_token_is_valid(const struct metadata_tokens *tokens, int64_t now, const char *text,
                             size_t length);

/* The value that a path such as "/latest/meta-data/" names (RFC 6901), or NULL. */
const json_t *metadata_find(const json_t *content, const char *path, size_t length);

#endif
