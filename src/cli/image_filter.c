/* --filter of the verbs that list or prune images. */
#include <fnmatch.h>
#include <string.h>

#include "cli/filter.h"
#include "cli/image_verb.h"

/* Whether the value is one that its filter can have. */
static int check_value(const char *text, struct error *err)
{
    bool dangling;
    const char *value = filter_value(text, "until");
    if (value && filter_read_until(value) <= 0)
        return error_set(err, 0,
                         "invalid filter '%.100s' (a time is 24h, 2024-01-31, or seconds since "
                         "1970)",
                         text);
    value = filter_value(text, "dangling");
    return value ? filter_read_boolean("dangling", value, &dangling, err) : 0;
}

int image_filter_check(const struct image_filter *filter, const char *known, struct error *err)
{
    if (filter_check(filter->filters, filter->count, known, err) < 0)
        return -1;
    for (size_t i = 0; i < filter->count; i++) {
        struct image image = {0};
        const char *before = filter_value(filter->filters[i], "before");
        const char *name = before ? before : filter_value(filter->filters[i], "since");
        if (check_value(filter->filters[i], err) < 0 ||
            (name && image_verb_find(filter->store, name, &image, err) < 0))
            return -1;
        image_release(&image);
    }
    return 0;
}

static bool has_label(const struct image *image, const char *wanted)
{
    return filter_has_label(json_object_get(json_object_get(image->config, "config"), "Labels"),
                            wanted);
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
    const char *value;
    if ((value = filter_value(text, "dangling")))
        return (image->name_count == 0) == (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
    if ((value = filter_value(text, "label")))
        return has_label(image, value);
    if ((value = filter_value(text, "label!")))
        return !has_label(image, value);
    if ((value = filter_value(text, "reference")))
        return matches_reference(name, value);
    if ((value = filter_value(text, "before")))
        return image->created < created_of(filter->store, value);
    if ((value = filter_value(text, "since")))
        return image->created > created_of(filter->store, value);
    if ((value = filter_value(text, "until")))
        return image->created < filter_read_until(value);
    return false;
}

bool image_filter_passes(const struct image_filter *filter, const struct image *image,
                         const char *name)
{
    bool reference_wanted = false, reference_found = false;
    for (size_t i = 0; i < filter->count; i++) {
        bool passes = passes_one(filter, filter->filters[i], image, name);
        if (filter_value(filter->filters[i], "reference")) {
            reference_wanted = true;
            reference_found = reference_found || passes;
        } else if (!passes) {
            return false;
        }
    }
    return !reference_wanted || reference_found;
}
