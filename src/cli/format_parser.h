/* Reading a template: the text, and where in it one is. */
#ifndef HULL_CLI_FORMAT_PARSER_H
#define HULL_CLI_FORMAT_PARSER_H

#include <ctype.h>
#include <string.h>

#include "cli/format_internal.h"

struct format_parser {
    struct format *format;
    const char *text;
    size_t at;
    int depth, range_depth;
    struct error *err;
};

#define FORMAT_FAIL(parser, ...)                                                                   \
    format_fail((parser)->text, (parser)->at, (parser)->err, __VA_ARGS__)

static inline char format_peek(const struct format_parser *parser)
{
    return parser->text[parser->at];
}

static inline bool format_starts_with(const struct format_parser *parser, const char *word)
{
    return strncmp(parser->text + parser->at, word, strlen(word)) == 0;
}

static inline bool format_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline void format_skip_blanks(struct format_parser *parser)
{
    while (format_is_blank(format_peek(parser)))
        parser->at++;
}

static inline bool format_is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static inline size_t format_name_length(const struct format_parser *parser)
{
    size_t length = 0;
    while (format_is_name_byte(parser->text[parser->at + length]))
        length++;
    return length;
}

static inline char *format_take(struct format_parser *parser, size_t length)
{
    char *copy = arena_allocate(&parser->format->arena, 1, length + 1);
    memcpy(copy, parser->text + parser->at, length);
    parser->at += length;
    return copy;
}

/* Whether an action ends here: "}}", or " -}}". */
static inline bool format_at_end(const struct format_parser *parser)
{
    return format_starts_with(parser, "}}") || format_starts_with(parser, "-}}");
}

static inline int format_fail_unexpected(const struct format_parser *parser, const char *where)
{
    if (!format_peek(parser))
        return FORMAT_FAIL(parser, "the template ends within {{ (close it with }})");
    return FORMAT_FAIL(parser, "unexpected '%.1s' %s", parser->text + parser->at, where);
}

/* From the first command to the end of the pipeline, which may be an action's or a parenthesis's.
 */
int format_read_pipeline(struct format_parser *parser, struct format_pipeline **out);

#endif
