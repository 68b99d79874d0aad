/* --filter of the verbs that list or prune volumes. */
#include <regex.h>
#include <string.h>

#include "cli/filter.h"
#include "cli/volume_verb.h"

/* A pattern that isn't one is an error, not a filter that nothing passes. */
static int check_pattern(const char *pattern, struct error *err)
{
    char reason[128];
    regex_t expression;
    int code = regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB);
    if (code == 0) {
        regfree(&expression);
        return 0;
    }
    regerror(code, NULL, reason, sizeof reason);
    return error_set(err, 0, "invalid filter 'name=%.100s': %s", pattern, reason);
}

int volume_filter_check(const struct volume_filter *filter, const char *known, struct error *err)
{
    if (filter_check(filter->filters, filter->count, known, err) < 0)
        return -1;
    for (size_t i = 0; i < filter->count; i++) {
        bool unused;
        const char *dangling = filter_value(filter->filters[i], "dangling");
        const char *name = filter_value(filter->filters[i], "name");
        if ((dangling && filter_read_boolean("dangling", dangling, &unused, err) < 0) ||
            (name && check_pattern(name, err) < 0))
            return -1;
    }
    return 0;
}

/* All or a part of the name, or an extended regular expression, as docker's. */
static bool matches_name(const char *name, const char *pattern)
{
    regex_t expression;
    if (strcmp(name, pattern) == 0)
        return true;
    if (regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool matches = regexec(&expression, name, 0, NULL, 0) == 0;
    regfree(&expression);
    return matches;
}

static bool is_dangling(const json_t *volume, const char *wanted)
{
    bool dangling = false;
    filter_read_boolean("dangling", wanted, &dangling, NULL);
    return dangling == (json_integer_value(json_object_get(volume, "UseCount")) == 0);
}

static bool is_text(const json_t *volume, const char *field, const char *wanted)
{
    return strcmp(json_string_value(json_object_get(volume, field)), wanted) == 0;
}

/* Of several names or drivers one is enough; of the others each must hold. */
bool volume_filter_passes(const struct volume_filter *filter, const json_t *volume)
{
    const json_t *labels = json_object_get(volume, "Labels");
    const char *own_name = json_string_value(json_object_get(volume, "Name"));
    bool name_wanted = false, name_found = false, driver_wanted = false, driver_found = false;
    for (size_t i = 0; i < filter->count; i++) {
        const char *text = filter->filters[i], *value;
        if ((value = filter_value(text, "name"))) {
            name_wanted = true;
            name_found = name_found || matches_name(own_name, value);
        } else if ((value = filter_value(text, "driver"))) {
            driver_wanted = true;
            driver_found = driver_found || is_text(volume, "Driver", value);
        } else if ((value = filter_value(text, "label"))) {
            if (!filter_has_label(labels, value))
                return false;
        } else if ((value = filter_value(text, "label!"))) {
            if (filter_has_label(labels, value))
                return false;
        } else if ((value = filter_value(text, "dangling")) && !is_dangling(volume, value)) {
            return false;
        }
    }
    return (!name_wanted || name_found) && (!driver_wanted || driver_found);
}
