/* From text to a JSON document, integers beyond int64_t included.
 *
 * jansson keeps integers in a signed 64-bit word and gives up on larger ones, yet real
 * configurations hold them: RLIM_INFINITY is 18446744073709551615. So only when jansson said
 * "overflow", the text is loaded again from a copy where each such literal is replaced by a
 * real number that says which entry of a table has its value: the first by 1.5, the second by
 * 2.5, and so on. No property of the configuration is a real number, so those of the text are
 * all alike wrong or ignored: they become 0.0, and nobody can write a number that looks like an
 * entry. Replacements are padded with blanks, so positions in error messages stay right. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/scope.h"
#include "oci/config_reader.h"

/* Between two literals of this length there is at least one more byte. */
#define SHORTEST_BIG_INTEGER 19

/* jansson would open /dev/urandom for the seed of its hash; the kernel already gave this process
 * 16 random bytes. Without effect if the process has used objects before. */
static void seed_object_hash(void)
{
    const void *random = (const void *)getauxval(AT_RANDOM);
    size_t seed = 0;
    if (random)
        memcpy(&seed, random, sizeof seed);
    json_object_seed(seed);
}

static size_t count_digits(const char *at, const char *end)
{
    size_t count = 0;
    while (at + count < end && at[count] >= '0' && at[count] <= '9')
        count++;
    return count;
}

/* The length of the number at text (RFC 8259 section 6), or 0 if there is none. What follows must
 * not look like more of it: the "12" of "12-34" is not a number of the document, and a replaced
 * "-34" would make one of both. */
static size_t scan_number(const char *text, const char *end, bool *is_integer)
{
    const char *at = text;
    *is_integer = true;
    if (at < end && *at == '-')
        at++;
    size_t digits = count_digits(at, end);
    if (digits == 0 || (digits > 1 && *at == '0'))
        return 0;
    at += digits;
    if (at < end && *at == '.') {
        *is_integer = false;
        digits = count_digits(++at, end);
        if (digits == 0)
            return 0;
        at += digits;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        *is_integer = false;
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = count_digits(at, end);
        if (digits == 0)
            return 0;
        at += digits;
    }
    if (at < end && *at && strchr("+-.0123456789eE", *at))
        return 0;
    return (size_t)(at - text);
}

/* Whether the integer literal is outside int64_t; if so, *big says what it is. */
static bool is_big_integer(const char *literal, size_t length, struct config_big_integer *big)
{
    bool negative = *literal == '-';
    *big = (struct config_big_integer){.fits = true};
    for (size_t i = negative; i < length && big->fits; i++) {
        big->fits = !__builtin_mul_overflow(big->value, 10, &big->value) &&
                    !__builtin_add_overflow(big->value, (uint64_t)(literal[i] - '0'), &big->value);
    }
    if (big->fits && big->value <= (uint64_t)INT64_MAX + negative)
        return false;
    big->fits = big->fits && !negative;
    return true;
}

static void replace_literal(char *literal, size_t length, const char *replacement)
{
    size_t used = strlen(replacement);
    memcpy(literal, replacement, used);
    memset(literal + used, ' ', length - used);
}

static void replace_numbers(struct config_reader *reader, char *text, size_t length)
{
    char *end = text + length;
    bool in_string = false;
    for (char *at = text; at < end; at++) {
        if (in_string) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                in_string = false;
            continue;
        }
        in_string = *at == '"';
        if (*at != '-' && (*at < '0' || *at > '9'))
            continue;
        bool is_integer;
        size_t size = scan_number(at, end, &is_integer);
        if (size == 0)
            return; /* not JSON, as the second attempt will say */
        struct config_big_integer big;
        if (!is_integer) {
            replace_literal(at, size, "0.0");
        } else if (size >= SHORTEST_BIG_INTEGER && is_big_integer(at, size, &big)) {
            char replacement[32];
            reader->big_integers[reader->big_integer_count++] = big;
            snprintf(replacement, sizeof replacement, "%zu.5", reader->big_integer_count);
            replace_literal(at, size, replacement);
        }
        at += size - 1;
    }
}

static json_t *load_again(struct config_reader *reader, const char *text, size_t length,
                          size_t flags, json_error_t *failure)
{
    scope_free char *copy = memory_allocate(length, 1);
    memcpy(copy, text, length);
    reader->big_integers = arena_allocate(reader->arena, length / SHORTEST_BIG_INTEGER + 1,
                                          sizeof *reader->big_integers);
    replace_numbers(reader, copy, length);
    return json_loadb(copy, length, flags, failure);
}

json_t *config_load(struct config_reader *reader, const char *text, size_t length)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    seed_object_hash();
    json_error_t failure;
    json_t *document = json_loadb(text, length, flags, &failure);
    if (!document && json_error_code(&failure) == json_error_numeric_overflow)
        document = load_again(reader, text, length, flags, &failure);
    if (document)
        return document;
    for (char *at = failure.text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?'; /* the message quotes the text */
    }
    error_set(reader->err, 0, "not valid JSON: line %d, column %d: %s", failure.line,
              failure.column, failure.text);
    return NULL;
}
