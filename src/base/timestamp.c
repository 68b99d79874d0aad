#include "base/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/quantity.h"

int64_t timestamp_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * TIMESTAMP_SECOND + now.tv_nsec;
}

/* Exactly count digits, as a number of minimum … maximum. */
static bool take_digits(const char **at, int count, int minimum, int maximum, int *out)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return false;
        value = value * 10 + (*at)[i] - '0';
    }
    *at += count;
    *out = value;
    return value >= minimum && value <= maximum;
}

static bool take(const char **at, char wanted)
{
    bool is_there = **at == wanted;
    *at += is_there;
    return is_there;
}

/* ".123": decimals of a second, at most nine, as nanoseconds. */
static bool take_decimals(const char **at, int64_t *out)
{
    int64_t unit = TIMESTAMP_SECOND;
    *out = 0;
    if (!take(at, '.'))
        return true;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; ++*at)
        if ((unit /= 10) > 0)
            *out += (**at - '0') * unit;
    return unit > 0;
}

/* "Z" or "+01:00": seconds east of UTC; false if there is neither. */
static bool take_offset(const char **at, int64_t *offset)
{
    int hours, minutes, sign = **at == '-' ? -1 : 1;
    *offset = 0;
    if (take(at, 'Z') || take(at, 'z'))
        return true;
    if (!take(at, '+') && !take(at, '-'))
        return false;
    if (!take_digits(at, 2, 0, 23, &hours) || !take(at, ':') ||
        !take_digits(at, 2, 0, 59, &minutes))
        return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* strict: all of RFC 3339. Otherwise what comes after the date may be missing from anywhere on. */
static bool read_date(const char *text, bool strict, int64_t *out)
{
    struct tm parts = {.tm_isdst = -1};
    int64_t decimals = 0, offset = 0;
    int year, month;
    if (!take_digits(&text, 4, 1, 9999, &year) || !take(&text, '-') ||
        !take_digits(&text, 2, 1, 12, &month) || !take(&text, '-') ||
        !take_digits(&text, 2, 1, 31, &parts.tm_mday))
        return false;
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    bool has_hours = take(&text, 'T') || take(&text, 't');
    if (has_hours && !take_digits(&text, 2, 0, 23, &parts.tm_hour))
        return false;
    bool has_minutes = has_hours && take(&text, ':');
    if (has_minutes && !take_digits(&text, 2, 0, 59, &parts.tm_min))
        return false;
    bool has_seconds = has_minutes && take(&text, ':');
    if (has_seconds &&
        (!take_digits(&text, 2, 0, 60, &parts.tm_sec) || !take_decimals(&text, &decimals)))
        return false;
    bool has_offset = *text && take_offset(&text, &offset);
    if (*text || (strict && (!has_seconds || !has_offset)))
        return false;
    if (year < 1678 || year > 2261) /* what nanoseconds in 64 bits can hold */
        return *out = year < 1970 ? INT64_MIN : INT64_MAX, true;
    *out = (has_offset ? (int64_t)timegm(&parts) - offset : (int64_t)mktime(&parts)) *
               TIMESTAMP_SECOND +
           decimals;
    return true;
}

bool timestamp_read(const char *text, int64_t *out)
{
    return read_date(text, true, out);
}

/* "1700000000" or "1700000000.25" */
static bool read_seconds(const char *text, int64_t *out)
{
    int64_t seconds = 0, decimals;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if ((seconds = seconds * 10 + *at - '0') > INT64_MAX / TIMESTAMP_SECOND - 1)
            return false;
    if (at == text || !take_decimals(&at, &decimals) || *at)
        return false;
    *out = seconds * TIMESTAMP_SECOND + decimals;
    return true;
}

int timestamp_read_argument(const char *text, int64_t now, int64_t *out, struct error *err)
{
    int64_t ago;
    if (read_seconds(text, out) || read_date(text, false, out))
        return 0;
    if (quantity_read_duration(text, &ago)) {
        *out = now - ago;
        return 0;
    }
    return error_set(err, 0,
                     "'%.100s' is no time (such as 2026-01-31T12:00:00, 1700000000, or 10m: "
                     "ten minutes ago)",
                     text);
}

struct timestamp_text timestamp_format(int64_t time, bool local)
{
    struct timestamp_text result = {""};
    struct tm parts = {0};
    int64_t decimals = time % TIMESTAMP_SECOND;
    time_t seconds = (time_t)(time / TIMESTAMP_SECOND);
    if (decimals < 0) {
        decimals += TIMESTAMP_SECOND;
        seconds--;
    }
    if (local)
        localtime_r(&seconds, &parts);
    else
        gmtime_r(&seconds, &parts);
    size_t length = strftime(result.text, sizeof result.text, "%Y-%m-%dT%H:%M:%S", &parts);
    length += (size_t)snprintf(result.text + length, sizeof result.text - length, ".%09lld",
                               (long long)decimals);
    if (!local) {
        result.text[length] = 'Z';
        return result;
    }
    long minutes = parts.tm_gmtoff / 60, size = labs(minutes);
    snprintf(result.text + length, sizeof result.text - length, "%c%02ld:%02ld",
             minutes < 0 ? '-' : '+', size / 60 % 100, size % 60);
    return result;
}
