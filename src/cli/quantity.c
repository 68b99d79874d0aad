#include "cli/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool quantity_read_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[*text == '-' || *text == '+']))
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || errno || value < minimum || value > maximum)
        return false;
    *out = value;
    return true;
}

/* Digits with at most one point among them. long double holds any int64_t exactly. */
static const char *read_decimal(const char *text, long double *value)
{
    long double place = 1;
    bool after_point = false, any = false;
    *value = 0;
    for (; isdigit((unsigned char)*text) || (*text == '.' && !after_point); text++) {
        if (*text == '.') {
            after_point = true;
            continue;
        }
        any = true;
        *value = *value * 10 + (*text - '0');
        place *= after_point ? 10 : 1;
    }
    *value /= place;
    return any ? text : NULL;
}

static bool fits(long double value, int64_t *out)
{
    if (!(value < 0x1p63L))
        return false;
    *out = (int64_t)value;
    return true;
}

bool quantity_read_size(const char *text, int64_t *out)
{
    static const char prefixes[] = "kmgtp";
    long double value;
    text = read_decimal(text, &value);
    if (!text)
        return false;
    text += *text == ' ';
    const char *prefix = *text ? strchr(prefixes, tolower((unsigned char)*text)) : NULL;
    if (prefix) {
        for (const char *at = prefixes; at <= prefix; at++)
            value *= 1024;
        text++;
        text += tolower((unsigned char)*text) == 'i' && tolower((unsigned char)text[1]) == 'b';
    }
    text += tolower((unsigned char)*text) == 'b';
    return !*text && fits(value, out);
}

bool quantity_read_duration(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        long double nanoseconds;
    } units[] = {{"ns", 1},   {"us", 1e3L}, {"\xc2\xb5s", 1e3L}, {"ms", 1e6L},
                 {"s", 1e9L}, {"m", 60e9L}, {"h", 3600e9L}};
    bool negative = *text == '-';
    long double sum = 0, value;
    text += negative || *text == '+';
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return true;
    }
    if (!*text)
        return false;
    while (*text) {
        text = read_decimal(text, &value);
        if (!text)
            return false;
        size_t length = strcspn(text, "0123456789."), i = 0;
        while (i < sizeof units / sizeof *units &&
               (strlen(units[i].name) != length || strncmp(units[i].name, text, length) != 0))
            i++;
        if (i == sizeof units / sizeof *units)
            return false;
        sum += value * units[i].nanoseconds;
        text += length;
    }
    if (!fits(sum, out))
        return false;
    *out = negative ? -*out : *out;
    return true;
}

bool quantity_read_billionths(const char *text, int64_t *out)
{
    long double value;
    const char *end = read_decimal(text, &value), *point = strchr(text, '.');
    if (!end || *end || (point && strlen(point + 1) > 9))
        return false;
    return fits(value * 1e9L + 0.5L, out);
}
