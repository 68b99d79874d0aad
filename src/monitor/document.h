/* JSON documents in files, and the times in them, as monitor and clients write them. */
#ifndef HULL_MONITOR_DOCUMENT_H
#define HULL_MONITOR_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "monitor/monitor.h"

static inline void scope_json_release(json_t **json)
{
    json_decref(*json);
}
#define scope_json __attribute__((cleanup(scope_json_release)))

/* Writes a document beside path (mode 0600), then renames it there. */
int document_write(const char *path, const json_t *document, struct error *err);

/* As docker's: RFC 3339, UTC, nanoseconds. */
void document_format_time(char text[40], const struct timespec *time);
#define DOCUMENT_NEVER "0001-01-01T00:00:00Z"

json_t *restart_to_json(const struct monitor_restart *restart);
int restart_from_json(struct monitor_restart *restart, const json_t *value);

#endif
