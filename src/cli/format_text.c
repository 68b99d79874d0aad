#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "cli/format_internal.h"

#define FAIL(call, ...)                                                                            \
    format_fail((call)->format->text, (call)->position, (call)->err, __VA_ARGS__)

/* A string that a function writes piece by piece. */
struct text {
    char *bytes;
    size_t length;
    FILE *out;
};

static void text_begin(struct text *text)
{
    *text = (struct text){0};
    text->out = open_memstream(&text->bytes, &text->length);
    if (!text->out)
        abort(); /* no memory */
}

static json_t *text_end(struct text *text)
{
    fclose(text->out);
    json_t *value = json_stringn(text->bytes, text->length);
    free(text->bytes);
    return value ? value : json_string("");
}

static char *value_text(const json_t *value)
{
    char *bytes = NULL;
    size_t length;
    FILE *out = open_memstream(&bytes, &length);
    if (!out)
        abort(); /* no memory */
    format_print_value(value, out);
    fclose(out);
    return bytes;
}

/* Text */

static int change_letters(struct format_call *call, json_t **result,
                          int (*change)(const char *text, size_t at))
{
    const char *text;
    if (format_need_string(call, 0, &text) < 0)
        return -1;
    scope_free char *copy = memory_copy_string(text);
    for (size_t i = 0; text[i]; i++)
        copy[i] = (char)change(text, i);
    *result = json_string(copy);
    return 0;
}

static int to_upper(const char *text, size_t at)
{
    return (unsigned char)text[at] < 0x80 ? toupper((unsigned char)text[at]) : text[at];
}

static int to_lower(const char *text, size_t at)
{
    return (unsigned char)text[at] < 0x80 ? tolower((unsigned char)text[at]) : text[at];
}

static int to_title(const char *text, size_t at)
{
    bool begins = at == 0 || isspace((unsigned char)text[at - 1]);
    return begins ? to_upper(text, at) : text[at];
}

int format_call_upper(struct format_call *call, json_t **result)
{
    return change_letters(call, result, to_upper);
}

int format_call_lower(struct format_call *call, json_t **result)
{
    return change_letters(call, result, to_lower);
}

int format_call_title(struct format_call *call, json_t **result)
{
    return change_letters(call, result, to_title);
}

int format_call_join(struct format_call *call, json_t **result)
{
    const json_t *list = call->arguments[0];
    const char *separator;
    if (format_need_string(call, 1, &separator) < 0)
        return -1;
    if (list && !json_is_null(list) && !json_is_array(list))
        return FAIL(call, "join takes a list");
    struct text text;
    text_begin(&text);
    for (size_t i = 0; i < json_array_size(list); i++) {
        fputs(i ? separator : "", text.out);
        format_print_value(json_array_get(list, i), text.out);
    }
    *result = text_end(&text);
    return 0;
}

int format_call_split(struct format_call *call, json_t **result)
{
    const char *text, *separator, *found;
    if (format_need_string(call, 0, &text) < 0 || format_need_string(call, 1, &separator) < 0)
        return -1;
    if (!*separator)
        return FAIL(call, "split needs a separator");
    json_t *list = json_array();
    for (; (found = strstr(text, separator)); text = found + strlen(separator))
        json_array_append_new(list, json_stringn(text, (size_t)(found - text)));
    json_array_append_new(list, json_string(text));
    *result = list;
    return 0;
}

/* Where the first count characters of UTF-8 end. */
static size_t prefix_length(const char *text, json_int_t count)
{
    size_t at = 0;
    for (; count > 0 && text[at]; count--)
        do
            at++;
        while (((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

int format_call_truncate(struct format_call *call, json_t **result)
{
    const char *text;
    json_int_t count;
    if (format_need_string(call, 0, &text) < 0 ||
        format_need_integer(call, 1, 0, INT32_MAX, &count) < 0)
        return -1;
    *result = json_stringn(text, prefix_length(text, count));
    return 0;
}

int format_call_pad(struct format_call *call, json_t **result)
{
    const char *text;
    json_int_t before, after;
    if (format_need_string(call, 0, &text) < 0 ||
        format_need_integer(call, 1, 0, 1000, &before) < 0 ||
        format_need_integer(call, 2, 0, 1000, &after) < 0)
        return -1;
    if (!*text)
        *result = json_string("");
    else
        *result = json_sprintf("%*s%s%*s", (int)before, "", text, (int)after, "");
    return 0;
}

/* Go's Sprint puts a blank between two values of which neither is a text, Sprintln between all. */
static int print_all(struct format_call *call, json_t **result, bool as_line)
{
    struct text text;
    text_begin(&text);
    for (size_t i = 0; i < call->count; i++) {
        bool are_others =
            i && !json_is_string(call->arguments[i]) && !json_is_string(call->arguments[i - 1]);
        if (i && (as_line || are_others))
            fputc(' ', text.out);
        format_print_value(call->arguments[i], text.out);
    }
    if (as_line)
        fputc('\n', text.out);
    *result = text_end(&text);
    return 0;
}

int format_call_print(struct format_call *call, json_t **result)
{
    return print_all(call, result, false);
}

int format_call_println(struct format_call *call, json_t **result)
{
    return print_all(call, result, true);
}

/* printf */

struct directive {
    char flags[8];
    int width, precision; /* -1: not given */
    char verb;
};

static const char *read_directive(const char *at, struct directive *directive)
{
    *directive = (struct directive){.width = -1, .precision = -1};
    size_t count = 0;
    for (; *at && strchr("-+# 0", *at); at++)
        if (count < sizeof directive->flags - 1)
            directive->flags[count++] = *at;
    for (int *number = &directive->width; number; at++) {
        for (; isdigit((unsigned char)*at); at++) {
            *number = (*number < 0 ? 0 : *number) * 10 + (*at - '0');
            if (*number > 1000)
                *number = 1000;
        }
        if (number == &directive->precision || *at != '.')
            break;
        number = &directive->precision;
        directive->precision = 0;
    }
    directive->verb = *at;
    return *at ? at + 1 : at;
}

static void print_with(const struct directive *directive, FILE *out, const char *text)
{
    int width = directive->width < 0 ? 0 : directive->width;
    size_t size =
        directive->precision < 0 ? strlen(text) : prefix_length(text, directive->precision);
    int blanks = width;
    for (size_t i = 0; i < size; i++)
        blanks -= ((unsigned char)text[i] & 0xc0) != 0x80;
    bool left = strchr(directive->flags, '-');
    if (!left && blanks > 0)
        fprintf(out, "%*s", blanks, "");
    fwrite(text, 1, size, out);
    if (left && blanks > 0)
        fprintf(out, "%*s", blanks, "");
}

static void print_integer(const struct directive *directive, FILE *out, json_int_t value)
{
    char format[32];
    snprintf(format, sizeof format, "%%%s*.*ll%c", directive->flags, directive->verb);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(out, format, directive->width < 0 ? 0 : directive->width, directive->precision,
            (long long)value);
#pragma GCC diagnostic pop
}

static void print_number(const struct directive *directive, FILE *out, double value)
{
    char format[32];
    snprintf(format, sizeof format, "%%%s*.*%c", directive->flags, directive->verb);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(out, format, directive->width < 0 ? 0 : directive->width, directive->precision, value);
#pragma GCC diagnostic pop
}

/* Go's answer to a value that the verb isn't for. */
static void print_mismatch(const struct directive *directive, FILE *out, const json_t *value)
{
    fprintf(out, "%%!%c(", directive->verb);
    format_print_value(value, out);
    fputc(')', out);
}

static void print_directive(const struct directive *directive, FILE *out, const json_t *value)
{
    char verb = directive->verb;
    if (strchr("dxXo", verb) && json_is_integer(value)) {
        print_integer(directive, out, json_integer_value(value));
    } else if (strchr("feEgG", verb) && json_is_number(value)) {
        print_number(directive, out, json_number_value(value));
    } else if (verb == 'q' && json_is_string(value)) {
        scope_free char *quoted = json_dumps(value, JSON_ENCODE_ANY);
        print_with(directive, out, quoted);
    } else if (verb == 'v' || (verb == 's' && !json_is_number(value) && !json_is_boolean(value)) ||
               (verb == 't' && json_is_boolean(value))) {
        scope_free char *text = value_text(value);
        print_with(directive, out, text);
    } else {
        print_mismatch(directive, out, value);
    }
}

int format_call_printf(struct format_call *call, json_t **result)
{
    const char *format;
    size_t next = 1;
    if (format_need_string(call, 0, &format) < 0)
        return -1;
    struct text text;
    text_begin(&text);
    for (const char *at = format; *at;) {
        struct directive directive;
        if (*at != '%') {
            fputc(*at++, text.out);
            continue;
        }
        at = read_directive(at + 1, &directive);
        if (directive.verb == '%')
            fputc('%', text.out);
        else if (!directive.verb)
            fputs("%!(NOVERB)", text.out);
        else if (next >= call->count)
            fprintf(text.out, "%%!%c(MISSING)", directive.verb);
        else
            print_directive(&directive, text.out, call->arguments[next++]);
    }
    *result = text_end(&text);
    return 0;
}
