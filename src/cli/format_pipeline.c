/* What stands between the braces: values, commands and pipelines. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "cli/format_parser.h"

/* Operands */

static int keep_literal(struct format_parser *parser, struct format_operand *operand, json_t *value)
{
    operand->kind = FORMAT_LITERAL;
    operand->literal = value;
    if (!value)
        return FORMAT_FAIL(parser, "the text is not UTF-8");
    json_array_append_new(parser->format->literals, value);
    return 0;
}

/* Go's escapes: \n \t \\ \" \xHH \uHHHH and the rest of C's letters. */
static int read_escape(struct format_parser *parser, char *to, size_t *length)
{
    static const char letters[] = "abfnrtv\\'\"", bytes[] = "\a\b\f\n\r\t\v\\'\"";
    char letter = parser->text[parser->at + 1];
    const char *known = letter ? strchr(letters, letter) : NULL;
    if (known) {
        to[(*length)++] = bytes[known - letters];
        parser->at += 2;
        return 0;
    }
    size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 0;
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        char digit = parser->text[parser->at + 2 + i];
        if (!isxdigit((unsigned char)digit))
            return FORMAT_FAIL(parser, "\\%c takes %zu hexadecimal digits", letter, digits);
        code = code * 16 +
               (uint32_t)(isdigit((unsigned char)digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    if (!digits)
        return FORMAT_FAIL(parser, "unknown escape '\\%.1s'", parser->text + parser->at + 1);
    parser->at += 2 + digits;
    if (code >= 0x800)
        to[(*length)++] = (char)(0xe0 | code >> 12);
    if (code >= 0x80)
        to[(*length)++] =
            code >= 0x800 ? (char)(0x80 | (code >> 6 & 0x3f)) : (char)(0xc0 | code >> 6);
    to[(*length)++] = code >= 0x80 ? (char)(0x80 | (code & 0x3f)) : (char)code;
    return 0;
}

static int read_quoted(struct format_parser *parser, char **out, size_t *length)
{
    char quote = format_peek(parser);
    size_t start = parser->at++;
    size_t end = parser->at;
    while (parser->text[end] && parser->text[end] != quote)
        end += parser->text[end] == '\\' && quote != '`' && parser->text[end + 1] ? 2 : 1;
    char *text = arena_allocate(&parser->format->arena, 1, end - start + 1);
    *length = 0;
    while (format_peek(parser) != quote) {
        if (!format_peek(parser) || (format_peek(parser) == '\n' && quote != '`')) {
            parser->at = start;
            return FORMAT_FAIL(parser, "the quotation mark has no counterpart");
        }
        if (format_peek(parser) == '\\' && quote != '`') {
            if (read_escape(parser, text, length) < 0)
                return -1;
        } else {
            text[(*length)++] = parser->text[parser->at++];
        }
    }
    parser->at++;
    *out = text;
    return 0;
}

static int read_string(struct format_parser *parser, struct format_operand *operand)
{
    char *text;
    size_t length;
    if (read_quoted(parser, &text, &length) < 0)
        return -1;
    return keep_literal(parser, operand, json_stringn(text, length));
}

static int read_character(struct format_parser *parser, struct format_operand *operand)
{
    char *text;
    size_t length;
    if (read_quoted(parser, &text, &length) < 0)
        return -1;
    if (length != 1)
        return FORMAT_FAIL(parser, "a character in '' is one letter of ASCII");
    return keep_literal(parser, operand, json_integer(text[0]));
}

static int read_number(struct format_parser *parser, struct format_operand *operand)
{
    const char *from = parser->text + parser->at;
    char *end, *end_real;
    errno = 0;
    long long integer = strtoll(from, &end, 0);
    bool overflows = errno == ERANGE;
    double real = strtod(from, &end_real);
    if (end_real > end) {
        parser->at += (size_t)(end_real - from);
        if (format_is_name_byte(*end_real))
            return format_fail_unexpected(parser, "in a number");
        json_t *value = json_real(real); /* none for what is infinite */
        return value ? keep_literal(parser, operand, value)
                     : FORMAT_FAIL(parser, "the number is too large");
    }
    parser->at += (size_t)(end - from);
    if (end == from || format_is_name_byte(*end))
        return format_fail_unexpected(parser, "in a number");
    if (overflows)
        return FORMAT_FAIL(parser, "the number is too large");
    return keep_literal(parser, operand, json_integer(integer));
}

static int read_name(struct format_parser *parser, struct format_operand *operand)
{
    size_t start = parser->at;
    operand->name = format_take(parser, format_name_length(parser));
    if (strcmp(operand->name, "true") == 0 || strcmp(operand->name, "false") == 0)
        return keep_literal(parser, operand, json_boolean(operand->name[0] == 't'));
    if (strcmp(operand->name, "nil") == 0) {
        operand->kind = FORMAT_LITERAL;
        return 0;
    }
    operand->kind = FORMAT_FUNCTION;
    if (format_is_function(operand->name))
        return 0;
    parser->at = start;
    return FORMAT_FAIL(parser, "there is no function '%.64s'", operand->name);
}

static int read_fields(struct format_parser *parser, struct format_operand *operand)
{
    const struct format_field **slot = &operand->fields;
    while (format_peek(parser) == '.') {
        parser->at++;
        size_t length = format_name_length(parser);
        if (!length)
            return format_fail_unexpected(parser, "where the name of a field belongs");
        struct format_field *field = arena_allocate(&parser->format->arena, 1, sizeof *field);
        field->name = format_take(parser, length);
        *slot = field;
        slot = &field->next;
    }
    return 0;
}

static int read_parentheses(struct format_parser *parser, struct format_operand *operand)
{
    operand->kind = FORMAT_PARENTHESES;
    size_t start = parser->at++;
    if (++parser->depth > FORMAT_DEPTH)
        return FORMAT_FAIL(parser, "more than %d parentheses and blocks within each other",
                           FORMAT_DEPTH);
    if (format_read_pipeline(parser, &operand->pipeline) < 0)
        return -1;
    parser->depth--;
    if (format_peek(parser) != ')') {
        parser->at = start;
        return FORMAT_FAIL(parser, "the parenthesis has no counterpart");
    }
    parser->at++;
    return read_fields(parser, operand);
}

static int read_dot(struct format_parser *parser, struct format_operand *operand)
{
    operand->kind = FORMAT_DOT;
    if (format_is_name_byte(parser->text[parser->at + 1]))
        return read_fields(parser, operand);
    parser->at++;
    return 0;
}

static int read_operand(struct format_parser *parser, struct format_operand *operand)
{
    char c = format_peek(parser);
    operand->position = parser->at;
    if (c == '.' && !isdigit((unsigned char)parser->text[parser->at + 1]))
        return read_dot(parser, operand);
    if (c == '$') {
        operand->kind = FORMAT_VARIABLE;
        parser->at++;
        operand->name = format_take(parser, format_name_length(parser));
        return read_fields(parser, operand);
    }
    if (c == '(')
        return read_parentheses(parser, operand);
    if (c == '"' || c == '`')
        return read_string(parser, operand);
    if (c == '\'')
        return read_character(parser, operand);
    if (isdigit((unsigned char)c) || c == '-' || c == '+' || c == '.')
        return read_number(parser, operand);
    if (format_is_name_byte(c))
        return read_name(parser, operand);
    return format_fail_unexpected(parser, "in a command");
}

static bool ends_command(const struct format_parser *parser)
{
    char c = format_peek(parser);
    return !c || c == '|' || c == ')' || format_at_end(parser);
}

static int read_command(struct format_parser *parser, struct format_command *command)
{
    struct format_operand **slot = &command->operands;
    size_t count = 0;
    for (format_skip_blanks(parser); !ends_command(parser); format_skip_blanks(parser)) {
        *slot = arena_allocate(&parser->format->arena, 1, sizeof **slot);
        if (read_operand(parser, *slot) < 0)
            return -1;
        if (!format_is_blank(format_peek(parser)) && !ends_command(parser))
            return format_fail_unexpected(parser, "after a value");
        if (++count >= FORMAT_ARGUMENTS)
            return FORMAT_FAIL(parser, "more than %d arguments", FORMAT_ARGUMENTS - 2);
        slot = &(*slot)->next;
    }
    if (!command->operands)
        return format_peek(parser) ? FORMAT_FAIL(parser, "a value or function is missing")
                                   : format_fail_unexpected(parser, "");
    return 0;
}

/* "$x :=", "$i, $x :=" or "$x ="; nothing if the pipeline begins otherwise. */
static void read_variables(struct format_parser *parser, struct format_pipeline *pipeline)
{
    size_t start = parser->at;
    const char *names[2] = {NULL, NULL};
    for (size_t count = 0; count < 2 && format_peek(parser) == '$'; count++) {
        parser->at++;
        names[0] = names[1];
        names[1] = format_take(parser, format_name_length(parser));
        format_skip_blanks(parser);
        if (format_starts_with(parser, ":=") || format_peek(parser) == '=') {
            pipeline->assigns = format_peek(parser) == '=';
            parser->at += pipeline->assigns ? 1 : 2;
            memcpy(pipeline->variables, names, sizeof names);
            return;
        }
        if (format_peek(parser) != ',')
            break;
        parser->at++;
        format_skip_blanks(parser);
    }
    parser->at = start;
}

int format_read_pipeline(struct format_parser *parser, struct format_pipeline **out)
{
    struct format_pipeline *pipeline = arena_allocate(&parser->format->arena, 1, sizeof *pipeline);
    *out = pipeline;
    format_skip_blanks(parser);
    read_variables(parser, pipeline);
    struct format_command **slot = &pipeline->commands;
    for (;;) {
        *slot = arena_allocate(&parser->format->arena, 1, sizeof **slot);
        if (read_command(parser, *slot) < 0)
            return -1;
        if (slot != &pipeline->commands && (*slot)->operands->kind != FORMAT_FUNCTION &&
            !(*slot)->operands->fields)
            return FORMAT_FAIL(parser, "what follows | must be a function");
        if (format_peek(parser) != '|')
            return 0;
        parser->at++;
        slot = &(*slot)->next;
    }
}
