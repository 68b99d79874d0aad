/* `--filter KEY=VALUE` of the verbs that list or prune: what is the same for all objects. */
#ifndef HULL_CLI_FILTER_H
#define HULL_CLI_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

/* Checks that each has a key of known (words with blanks between) and a value. `label!=x` is a
 * filter with the key "label!". */
int filter_check(const char *const *filters, size_t count, const char *known, struct error *err);

/* The value of a filter that has passed filter_check(), or NULL if its key is another. */
const char *filter_value(const char *filter, const char *key);

/* Whether labels (an object of strings, or NULL) have "NAME", or "NAME=VALUE". */
bool filter_has_label(const json_t *labels, const char *wanted);

/* "true", "1", "False" …, as docker takes them; an error that names the key otherwise. */
int filter_read_boolean(const char *key, const char *value, bool *out, struct error *err);

/* "24h", "10m30s", seconds since 1970, or a date (of this place, or with a Z of UTC): the time
 * before which something must be; 0 if it is none. */
int64_t filter_read_until(const char *text);

#endif
