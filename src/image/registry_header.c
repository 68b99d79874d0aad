#include "image/registry_header.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The characters of a token: RFC 9110, 5.6.2. */
static size_t token_length(const char *text)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) ||
           (text[length] && strchr("!#$%&'*+-.^_`|~", text[length])))
        length++;
    return length;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

static char *copy_bytes(struct arena *arena, const char *bytes, size_t length)
{
    return memcpy(arena_allocate(arena, length + 1, 1), bytes, length);
}

/* Reads a token or a quoted string at *at, and moves on behind it; NULL if there is neither. */
static char *read_word(const char **at, struct arena *arena)
{
    const char *from = *at;
    if (*from != '"') {
        size_t length = token_length(from);
        /* Values of Bearer are often unquoted URLs, though that is no token. */
        while (from[length] && !strchr(" \t,;\"", from[length]))
            length++;
        *at = from + length;
        return length ? copy_bytes(arena, from, length) : NULL;
    }
    char *word = arena_allocate(arena, strlen(from), 1);
    size_t length = 0;
    for (from++; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            from++;
        word[length++] = *from;
    }
    if (*from != '"')
        return NULL;
    *at = from + 1;
    return word;
}

static bool name_is(const char *name, size_t length, const char *expected)
{
    return strlen(expected) == length && strncasecmp(name, expected, length) == 0;
}

static void keep_parameter(struct registry_challenge *challenge, const char *name, size_t length,
                           const char *value)
{
    if (name_is(name, length, "realm"))
        challenge->realm = value;
    else if (name_is(name, length, "service"))
        challenge->service = value;
    else if (name_is(name, length, "scope"))
        challenge->scope = value;
    else if (name_is(name, length, "error"))
        challenge->error = value;
}

/* Whether NAME=VALUE stands at text, and not a scheme. */
static bool is_parameter(const char *text)
{
    size_t length = token_length(text);
    const char *after = skip_blanks(text + length);
    return length > 0 && *after == '=' && after[1] != '=';
}

void registry_parse_challenge(const char *field, struct arena *arena,
                              struct registry_challenge *challenge)
{
    bool in_bearer = false;
    for (const char *at = field;;) {
        at += strspn(at, " \t,");
        size_t length = token_length(at);
        if (length == 0)
            return;
        if (!is_parameter(at)) {
            in_bearer = name_is(at, length, "Bearer");
            challenge->bearer |= in_bearer;
            challenge->basic |= name_is(at, length, "Basic");
            at += length;
            if (*at && !strchr(" \t,", *at)) /* the padding of a token68 */
                at += strcspn(at, ",");
            continue;
        }
        const char *name = at;
        at = skip_blanks(skip_blanks(at + length) + 1);
        const char *value = read_word(&at, arena);
        if (!value)
            return;
        if (in_bearer)
            keep_parameter(challenge, name, length, value);
    }
}

/* Reads the parameters of a link behind its '>'; true if one is rel=next. */
static bool read_link_parameters(const char **at, struct arena *arena)
{
    bool is_next = false;
    for (;;) {
        *at = skip_blanks(*at);
        if (**at != ';')
            return is_next;
        *at = skip_blanks(*at + 1);
        const char *name = *at;
        size_t length = token_length(name);
        *at = skip_blanks(name + length);
        if (**at != '=')
            continue;
        *at = skip_blanks(*at + 1);
        const char *value = read_word(at, arena);
        if (!value)
            return is_next;
        is_next |= name_is(name, length, "rel") && strcasecmp(value, "next") == 0;
    }
}

const char *registry_parse_next_link(const char *field, struct arena *arena)
{
    for (const char *at = field;;) {
        at += strspn(at, " \t,");
        if (*at != '<')
            return NULL;
        const char *end = strchr(at, '>');
        if (!end)
            return NULL;
        const char *target = copy_bytes(arena, at + 1, (size_t)(end - at - 1));
        at = end + 1;
        if (read_link_parameters(&at, arena))
            return target;
    }
}

/* A decimal number without sign; moves *at behind it. */
static bool read_number(const char **at, int64_t *number)
{
    if (!isdigit((unsigned char)**at))
        return false;
    char *end;
    errno = 0;
    *number = strtoll(*at, &end, 10);
    *at = end;
    return errno == 0;
}

bool registry_parse_content_range(const char *field, int64_t *first, int64_t *last, int64_t *total)
{
    const char *at = skip_blanks(field);
    if (strncasecmp(at, "bytes", 5) != 0 || !strchr(" \t", at[5]))
        return false;
    at = skip_blanks(at + 5);
    if (!read_number(&at, first) || *at++ != '-' || !read_number(&at, last) || *at++ != '/')
        return false;
    *total = -1;
    if (*at == '*')
        at++;
    else if (!read_number(&at, total))
        return false;
    return *skip_blanks(at) == '\0' && *first <= *last && (*total < 0 || *last < *total);
}

bool registry_parse_upload_range(const char *field, int64_t *next)
{
    const char *at = skip_blanks(field);
    if (strncasecmp(at, "bytes=", 6) == 0)
        at += 6;
    int64_t first, last;
    if (!read_number(&at, &first) || *at++ != '-' || !read_number(&at, &last))
        return false;
    if (*skip_blanks(at) != '\0' || first != 0 || last == INT64_MAX)
        return false;
    /* Docker's registry says 0-0 both for nothing and for one byte: who asks sends from 0 then. */
    *next = last == 0 ? 0 : last + 1;
    return true;
}

long registry_parse_retry_after(const char *field, time_t now)
{
    const char *at = skip_blanks(field);
    int64_t seconds;
    if (read_number(&at, &seconds) && *skip_blanks(at) == '\0')
        return seconds > LONG_MAX ? LONG_MAX : (long)seconds;
    struct tm date = {0};
    const char *end = strptime(skip_blanks(field), "%a, %d %b %Y %H:%M:%S GMT", &date);
    if (!end || *skip_blanks(end) != '\0')
        return -1;
    time_t then = timegm(&date);
    return then > now ? (long)(then - now) : 0;
}
