#include "cli/filter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"

/* The length of "label!" in "label!=x". */
static size_t key_length(const char *filter)
{
    return strcspn(filter, "=");
}

static bool has_word(const char *words, const char *word, size_t length)
{
    while (*words) {
        size_t room = strcspn(words, " ");
        if (room == length && memcmp(words, word, length) == 0)
            return true;
        words += room + strspn(words + room, " ");
    }
    return false;
}

int filter_check(const char *const *filters, size_t count, const char *known, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = key_length(filters[i]);
        if (!filters[i][length] || !has_word(known, filters[i], length))
            return error_set(err, 0, "invalid filter '%.100s' (KEY=VALUE, with one of: %s)",
                             filters[i], known);
    }
    return 0;
}

const char *filter_value(const char *filter, const char *key)
{
    size_t length = key_length(filter);
    bool same = strlen(key) == length && memcmp(filter, key, length) == 0;
    return same && filter[length] ? filter + length + 1 : NULL;
}

bool filter_has_label(const json_t *labels, const char *wanted)
{
    size_t length = strcspn(wanted, "=");
    scope_free char *name = memory_format("%.*s", (int)length, wanted);
    const char *value = json_string_value(json_object_get(labels, name));
    return value && (!wanted[length] || strcmp(value, wanted + length + 1) == 0);
}

int filter_read_boolean(const char *key, const char *value, bool *out, struct error *err)
{
    *out = strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0 || strcasecmp(value, "t") == 0;
    if (*out || strcmp(value, "0") == 0 || strcasecmp(value, "false") == 0 ||
        strcasecmp(value, "f") == 0)
        return 0;
    return error_set(err, 0, "invalid filter '%s=%.100s' (true or false)", key, value);
}

int64_t filter_read_until(const char *text)
{
    int64_t seconds = 0;
    struct tm parts = {.tm_isdst = -1};
    char *end = strptime(text, "%Y-%m-%d", &parts);
    if (end) {
        if (*end == 'T')
            end = strptime(end + 1, "%H:%M:%S", &parts);
        bool utc = end && strcmp(end, "Z") == 0;
        if (!end || (*end && !utc))
            return 0;
        return utc ? timegm(&parts) : mktime(&parts);
    }
    for (const char *at = text; *at;) {
        long number = strtol(at, &end, 10);
        if (end == at || number < 0)
            return 0;
        if (!*end && at == text)
            return number;
        int64_t unit = *end == 'h' ? 3600 : *end == 'm' ? 60 : *end == 's' ? 1 : 0;
        if (!unit)
            return 0;
        seconds += number * unit;
        at = end + 1;
    }
    return time(NULL) - seconds;
}
