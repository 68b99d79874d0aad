#include "cli/human.h"

#include <stdio.h>

static struct human_text scale(double value, double step, const char *const *units, int digits)
{
    struct human_text result;
    size_t unit = 0;
    for (; value >= step && units[unit + 1]; unit++)
        value /= step;
    snprintf(result.text, sizeof result.text, "%.*g%s", digits, value, units[unit]);
    return result;
}

struct human_text human_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", NULL};
    return scale((double)bytes, 1000, units, 3);
}

struct human_text human_binary_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL};
    return scale((double)bytes, 1024, units, 4);
}

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

struct human_text human_duration(int64_t seconds)
{
    /* From what length on in which unit; those with a phrase don't count. */
    static const struct {
        int64_t below, unit;
        const char *words;
    } steps[] = {
        {1, 0, "Less than a second"},    {2, 0, "1 second"},
        {MINUTE, 1, "seconds"},          {2 * MINUTE, 0, "About a minute"},
        {HOUR, MINUTE, "minutes"},       {HOUR + HOUR / 2, 0, "About an hour"},
        {2 * DAY, HOUR, "hours"},        {14 * DAY, DAY, "days"},
        {60 * DAY, 7 * DAY, "weeks"},    {730 * DAY, 30 * DAY, "months"},
        {INT64_MAX, 365 * DAY, "years"},
    };
    struct human_text result;
    size_t i = 0;
    while (seconds >= steps[i].below && steps[i].below != INT64_MAX)
        i++;
    if (!steps[i].unit)
        snprintf(result.text, sizeof result.text, "%s", steps[i].words);
    else {
        /* Hours are rounded, as docker does; all else is cut off. */
        int64_t half = steps[i].unit == HOUR ? HOUR / 2 : 0;
        snprintf(result.text, sizeof result.text, "%lld %s",
                 (long long)((seconds + half) / steps[i].unit), steps[i].words);
    }
    return result;
}

struct human_text human_age(time_t then, time_t now)
{
    struct human_text result, length = human_duration(now > then ? now - then : 0);
    snprintf(result.text, sizeof result.text, "%.*s ago", (int)sizeof result.text - 5, length.text);
    return result;
}

struct human_text human_time(time_t when)
{
    struct human_text result = {""};
    struct tm parts;
    if (localtime_r(&when, &parts))
        strftime(result.text, sizeof result.text, "%Y-%m-%d %H:%M:%S %z %Z", &parts);
    return result;
}
