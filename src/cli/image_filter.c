/* --filter of the verbs that list or prune images. */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/image_verb.h"

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

/* "24h", "10m30s", seconds since 1970, or a date (of this place, or with a Z of UTC): the time
 * before which something must be; 0 if it is none. */
static int64_t parse_until(const char *text)
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

/* Whether a value is one that its filter can have. */
static bool is_valid_value(const char *text, const char *value)
{
    static const char *const truths[] = {"true", "false", "1", "0"};
    if (strncmp(text, "until=", 6) == 0)
        return parse_until(value) > 0;
    if (strncmp(text, "dangling=", 9) != 0)
        return *value != '\0';
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
        if (strcmp(value, truths[i]) == 0)
            return true;
    return false;
}

int image_filter_check(const struct image_filter *filter, const char *known, struct error *err)
{
    for (size_t i = 0; i < filter->count; i++) {
        const char *text = filter->filters[i];
        size_t length = strcspn(text, "=");
        size_t key = length > 0 && text[length - 1] == '!' ? length - 1 : length;
        if (!text[length] || !has_word(known, text, key))
            return error_set(err, 0, "invalid filter '%.100s' (KEY=VALUE, with one of: %s)", text,
                             known);
        struct image image = {0};
        const char *value = text + length + 1;
        if (!is_valid_value(text, value))
            return error_set(err, 0, "invalid filter '%.100s'%s", text,
                             strncmp(text, "until=", 6) == 0
                                 ? " (a time is 24h, 2024-01-31, or seconds since 1970)"
                                 : "");
        bool about_image = strncmp(text, "before=", 7) == 0 || strncmp(text, "since=", 6) == 0;
        if (about_image && image_verb_find(filter->store, value, &image, err) < 0)
            return -1;
        image_release(&image);
    }
    return 0;
}

/* "label=name" or "label=name=value". */
static bool has_label(const struct image *image, const char *wanted)
{
    json_t *labels = json_object_get(json_object_get(image->config, "config"), "Labels");
    size_t length = strcspn(wanted, "=");
    scope_free char *name = memory_format("%.*s", (int)length, wanted);
    const char *value = json_string_value(json_object_get(labels, name));
    return value && (!wanted[length] || strcmp(value, wanted + length + 1) == 0);
}

/* A pattern of a familiar name, with or without its tag. */
static bool matches_reference(const char *name, const char *pattern)
{
    struct reference reference;
    char text[REFERENCE_TEXT_SIZE];
    if (!name || reference_parse(name, &reference, NULL) < 0)
        return false;
    return fnmatch(pattern, reference_format_familiar(&reference, text), FNM_PATHNAME) == 0 ||
           fnmatch(pattern, reference_format_familiar_repository(&reference, text), FNM_PATHNAME) ==
               0 ||
           fnmatch(pattern, name, FNM_PATHNAME) == 0;
}

static int64_t created_of(struct image_store *store, const char *name)
{
    scope_image struct image image = {0};
    return image_find(store, name, &image, NULL) == 1 ? image.created : 0;
}

static bool passes_one(const struct image_filter *filter, const char *text,
                       const struct image *image, const char *name)
{
    const char *value = strchr(text, '=') + 1;
    size_t key = (size_t)(value - 1 - text);
    if (has_word("dangling", text, key))
        return (image->name_count == 0) == (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
    if (has_word("label", text, key))
        return has_label(image, value);
    if (has_word("label!", text, key))
        return !has_label(image, value);
    if (has_word("reference", text, key))
        return matches_reference(name, value);
    if (has_word("before", text, key))
        return image->created < created_of(filter->store, value);
    if (has_word("since", text, key))
        return image->created > created_of(filter->store, value);
    if (has_word("until", text, key))
        return image->created < parse_until(value);
    return false;
}

bool image_filter_passes(const struct image_filter *filter, const struct image *image,
                         const char *name)
{
    bool reference_wanted = false, reference_found = false;
    for (size_t i = 0; i < filter->count; i++) {
        bool passes = passes_one(filter, filter->filters[i], image, name);
        if (strncmp(filter->filters[i], "reference=", 10) == 0) {
            reference_wanted = true;
            reference_found = reference_found || passes;
        } else if (!passes) {
            return false;
        }
    }
    return !reference_wanted || reference_found;
}
