/* Sizes and times as docker puts them for people. */
#ifndef HULL_CLI_HUMAN_H
#define HULL_CLI_HUMAN_H

#include <stdint.h>
#include <time.h>

struct human_text {
    char text[48];
};

/* "12.3MB": decimal units, three digits. */
struct human_text human_size(uint64_t bytes);
/* "11.7MiB": binary units, four digits. */
struct human_text human_binary_size(uint64_t bytes);
/* "3 minutes", "About an hour", "Less than a second". */
struct human_text human_duration(int64_t seconds);
/* "3 minutes ago"; times after now are now. */
struct human_text human_age(time_t then, time_t now);
/* "2026-11-21 12:40:00 +0000 UTC", in local time. */
struct human_text human_time(time_t when);

#endif
