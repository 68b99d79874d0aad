/* The header fields of HTTP that a registry's answers are steered by: WWW-Authenticate (RFC 9110,
 * 11.6.1), Link (RFC 8288), Content-Range (RFC 9110, 14.4) and Retry-After (10.2.3). What they
 * hold comes from outside: whatever doesn't parse is as if it weren't there. */
#ifndef HULL_IMAGE_REGISTRY_HEADER_H
#define HULL_IMAGE_REGISTRY_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/memory.h"

/* How a server wants to be asked. A missing parameter is NULL. */
struct registry_challenge {
    bool basic, bearer;
    const char *realm, *service, *scope, *error; /* of Bearer; in the arena given */
};

/* Adds what one WWW-Authenticate field says to *challenge; a field may hold several challenges.
 * Schemes other than Basic and Bearer are passed over. */
void registry_parse_challenge(const char *field, struct arena *arena,
                              struct registry_challenge *challenge);

/* The target of the link with relation "next", in the arena, or NULL. */
const char *registry_parse_next_link(const char *field, struct arena *arena);

/* "bytes FIRST-LAST/TOTAL"; *total is -1 where the field says "*". False if it is anything else,
 * or contradicts itself. */
bool registry_parse_content_range(const char *field, int64_t *first, int64_t *last, int64_t *total);

/* "FIRST-LAST" or "bytes=FIRST-LAST", with which an upload's state is told (OCI distribution
 * specification, "Pushing a blob in chunks"): sets *next to the offset after LAST. */
bool registry_parse_upload_range(const char *field, int64_t *next);

/* Seconds to wait from now on: a number, or the time until an HTTP date. -1 if it is neither. */
long registry_parse_retry_after(const char *field, time_t now);

#endif
