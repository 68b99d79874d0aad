/* The metadata service (MMDS): a JSON document that the host fills through the API and the guest
 * reads over HTTP at a link-local address.
 *
 * The guest's side is a pure function of the bytes it sent, the document, and the clock: TCP below
 * it is the network device's business. All of it on the loop's thread. */
#ifndef HULL_VM_CONTROL_METADATA_H
#define HULL_VM_CONTROL_METADATA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "vm/control/settings.h"

#define METADATA_MAX_REQUEST 4096 /* bytes of a request's head */
#define METADATA_MIN_TTL 1        /* seconds that a token lives */
#define METADATA_MAX_TTL 21600

struct metrics_mmds;
struct metadata;

/* An empty store that takes documents of at most limit bytes, written compactly. Counters may be
 * NULL. */
struct metadata *metadata_create(size_t limit, struct metrics_mmds *counters);
void metadata_destroy(struct metadata *metadata);

/* The version and format; before it, and for the same without it, V1. */
void metadata_configure(struct metadata *metadata, const struct metadata_settings *settings);

enum metadata_result {
    METADATA_DONE,
    METADATA_TOO_LARGE,       /* the document would be above the limit */
    METADATA_NOT_INITIALIZED, /* there is nothing to patch yet */
};

/* Takes the place of the document; the content is not changed later. */
enum metadata_result metadata_put(struct metadata *metadata, const json_t *content);
/* JSON merge patch, RFC 7396. */
enum metadata_result metadata_patch(struct metadata *metadata, const json_t *patch);
/* The document, or NULL before the first put; it belongs to the store. */
const json_t *metadata_get(const struct metadata *metadata);

/* The text that the API answers for a result that isn't METADATA_DONE. */
const char *metadata_result_text(enum metadata_result result);

/* Puts the file's JSON into the store (--metadata). */
int metadata_load(struct metadata *metadata, const char *path, struct error *err);

struct metadata_response {
    char *bytes; /* head and body; the caller frees them */
    size_t length;
    bool close; /* the connection: what follows can't be told from a body */
};

/* Answers the first request in the size bytes that a guest sent. Returns how many bytes it was
 * long, or 0: it isn't complete yet, send more. A head above METADATA_MAX_REQUEST bytes is answered
 * with an error, as is anything else; nothing that is sent can be refused otherwise. now is in
 * milliseconds of the monotonic clock. */
size_t metadata_respond(struct metadata *metadata, const char *bytes, size_t size, int64_t now,
                        struct metadata_response *response);

/* The same, now, in the shape of the network device's struct metadata_answerer: context is a struct
 * metadata, the result the response or NULL. */
char *metadata_answer(void *context, const char *request, size_t size, size_t *taken,
                      size_t *response_size, bool *close);

#endif
