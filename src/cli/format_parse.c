#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "cli/format_internal.h"

struct parser {
    struct format *format;
    const char *text;
    size_t at;
    int depth, range_depth;
    struct error *err;
};

int format_fail(const char *text, size_t position, struct error *err, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    size_t line = 1, column = 1;
    for (size_t i = 0; i < position && text[i]; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return error_set(err, 0, "format: line %zu, column %zu: %s", line, column, what);
}

#define FAIL(parser, ...) format_fail((parser)->text, (parser)->at, (parser)->err, __VA_ARGS__)

static char peek(const struct parser *parser)
{
    return parser->text[parser->at];
}

static bool starts_with(const struct parser *parser, const char *word)
{
    return strncmp(parser->text + parser->at, word, strlen(word)) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct parser *parser)
{
    while (is_blank(peek(parser)))
        parser->at++;
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t name_length(const struct parser *parser)
{
    size_t length = 0;
    while (is_name_byte(parser->text[parser->at + length]))
        length++;
    return length;
}

static char *take(struct parser *parser, size_t length)
{
    char *copy = arena_allocate(&parser->format->arena, 1, length + 1);
    memcpy(copy, parser->text + parser->at, length);
    parser->at += length;
    return copy;
}

/* Whether an action ends here: "}}", or " -}}". */
static bool at_end(const struct parser *parser)
{
    return starts_with(parser, "}}") || starts_with(parser, "-}}");
}

static int fail_unexpected(const struct parser *parser, const char *where)
{
    if (!peek(parser))
        return FAIL(parser, "the template ends within {{ (close it with }})");
    return FAIL(parser, "unexpected '%.1s' %s", parser->text + parser->at, where);
}

/* Operands */

static int keep_literal(struct parser *parser, struct format_operand *operand, json_t *value)
{
    operand->kind = FORMAT_LITERAL;
    operand->literal = value;
    if (!value)
        return FAIL(parser, "the text is not UTF-8");
    json_array_append_new(parser->format->literals, value);
    return 0;
}

/* Go's escapes: \n \t \\ \" \xHH \uHHHH and the rest of C's letters. */
static int read_escape(struct parser *parser, char *to, size_t *length)
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
            return FAIL(parser, "\\%c takes %zu hexadecimal digits", letter, digits);
        code = code * 16 +
               (uint32_t)(isdigit((unsigned char)digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    if (!digits)
        return FAIL(parser, "unknown escape '\\%.1s'", parser->text + parser->at + 1);
    parser->at += 2 + digits;
    if (code >= 0x800)
        to[(*length)++] = (char)(0xe0 | code >> 12);
    if (code >= 0x80)
        to[(*length)++] =
            code >= 0x800 ? (char)(0x80 | (code >> 6 & 0x3f)) : (char)(0xc0 | code >> 6);
    to[(*length)++] = code >= 0x80 ? (char)(0x80 | (code & 0x3f)) : (char)code;
    return 0;
}

static int read_quoted(struct parser *parser, char **out, size_t *length)
{
    char quote = peek(parser);
    size_t start = parser->at++;
    size_t end = parser->at;
    while (parser->text[end] && parser->text[end] != quote)
        end += parser->text[end] == '\\' && quote != '`' && parser->text[end + 1] ? 2 : 1;
    char *text = arena_allocate(&parser->format->arena, 1, end - start + 1);
    *length = 0;
    while (peek(parser) != quote) {
        if (!peek(parser) || (peek(parser) == '\n' && quote != '`')) {
            parser->at = start;
            return FAIL(parser, "the quotation mark has no counterpart");
        }
        if (peek(parser) == '\\' && quote != '`') {
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

static int read_string(struct parser *parser, struct format_operand *operand)
{
    char *text;
    size_t length;
    if (read_quoted(parser, &text, &length) < 0)
        return -1;
    return keep_literal(parser, operand, json_stringn(text, length));
}

static int read_character(struct parser *parser, struct format_operand *operand)
{
    char *text;
    size_t length;
    if (read_quoted(parser, &text, &length) < 0)
        return -1;
    if (length != 1)
        return FAIL(parser, "a character in '' is one letter of ASCII");
    return keep_literal(parser, operand, json_integer(text[0]));
}

static int read_number(struct parser *parser, struct format_operand *operand)
{
    const char *from = parser->text + parser->at;
    char *end, *end_real;
    errno = 0;
    long long integer = strtoll(from, &end, 0);
    bool overflows = errno == ERANGE;
    double real = strtod(from, &end_real);
    if (end_real > end) {
        parser->at += (size_t)(end_real - from);
        if (is_name_byte(*end_real))
            return fail_unexpected(parser, "in a number");
        json_t *value = json_real(real); /* none for what is infinite */
        return value ? keep_literal(parser, operand, value)
                     : FAIL(parser, "the number is too large");
    }
    parser->at += (size_t)(end - from);
    if (end == from || is_name_byte(*end))
        return fail_unexpected(parser, "in a number");
    if (overflows)
        return FAIL(parser, "the number is too large");
    return keep_literal(parser, operand, json_integer(integer));
}

static int read_name(struct parser *parser, struct format_operand *operand)
{
    size_t start = parser->at;
    operand->name = take(parser, name_length(parser));
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
    return FAIL(parser, "there is no function '%.64s'", operand->name);
}

static int read_fields(struct parser *parser, struct format_operand *operand)
{
    const struct format_field **slot = &operand->fields;
    while (peek(parser) == '.') {
        parser->at++;
        size_t length = name_length(parser);
        if (!length)
            return fail_unexpected(parser, "where the name of a field belongs");
        struct format_field *field = arena_allocate(&parser->format->arena, 1, sizeof *field);
        field->name = take(parser, length);
        *slot = field;
        slot = &field->next;
    }
    return 0;
}

static int read_pipeline(struct parser *parser, struct format_pipeline **out);

static int read_parentheses(struct parser *parser, struct format_operand *operand)
{
    operand->kind = FORMAT_PARENTHESES;
    size_t start = parser->at++;
    if (++parser->depth > FORMAT_DEPTH)
        return FAIL(parser, "more than %d parentheses and blocks within each other", FORMAT_DEPTH);
    if (read_pipeline(parser, &operand->pipeline) < 0)
        return -1;
    parser->depth--;
    if (peek(parser) != ')') {
        parser->at = start;
        return FAIL(parser, "the parenthesis has no counterpart");
    }
    parser->at++;
    return read_fields(parser, operand);
}

static int read_dot(struct parser *parser, struct format_operand *operand)
{
    operand->kind = FORMAT_DOT;
    if (is_name_byte(parser->text[parser->at + 1]))
        return read_fields(parser, operand);
    parser->at++;
    return 0;
}

static int read_operand(struct parser *parser, struct format_operand *operand)
{
    char c = peek(parser);
    operand->position = parser->at;
    if (c == '.' && !isdigit((unsigned char)parser->text[parser->at + 1]))
        return read_dot(parser, operand);
    if (c == '$') {
        operand->kind = FORMAT_VARIABLE;
        parser->at++;
        operand->name = take(parser, name_length(parser));
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
    if (is_name_byte(c))
        return read_name(parser, operand);
    return fail_unexpected(parser, "in a command");
}

static bool ends_command(const struct parser *parser)
{
    char c = peek(parser);
    return !c || c == '|' || c == ')' || at_end(parser);
}

static int read_command(struct parser *parser, struct format_command *command)
{
    struct format_operand **slot = &command->operands;
    size_t count = 0;
    for (skip_blanks(parser); !ends_command(parser); skip_blanks(parser)) {
        *slot = arena_allocate(&parser->format->arena, 1, sizeof **slot);
        if (read_operand(parser, *slot) < 0)
            return -1;
        if (!is_blank(peek(parser)) && !ends_command(parser))
            return fail_unexpected(parser, "after a value");
        if (++count >= FORMAT_ARGUMENTS)
            return FAIL(parser, "more than %d arguments", FORMAT_ARGUMENTS - 2);
        slot = &(*slot)->next;
    }
    if (!command->operands)
        return peek(parser) ? FAIL(parser, "a value or function is missing")
                            : fail_unexpected(parser, "");
    return 0;
}

/* "$x :=", "$i, $x :=" or "$x ="; nothing if the pipeline begins otherwise. */
static void read_variables(struct parser *parser, struct format_pipeline *pipeline)
{
    size_t start = parser->at;
    const char *names[2] = {NULL, NULL};
    for (size_t count = 0; count < 2 && peek(parser) == '$'; count++) {
        parser->at++;
        names[0] = names[1];
        names[1] = take(parser, name_length(parser));
        skip_blanks(parser);
        if (starts_with(parser, ":=") || peek(parser) == '=') {
            pipeline->assigns = peek(parser) == '=';
            parser->at += pipeline->assigns ? 1 : 2;
            memcpy(pipeline->variables, names, sizeof names);
            return;
        }
        if (peek(parser) != ',')
            break;
        parser->at++;
        skip_blanks(parser);
    }
    parser->at = start;
}

static int read_pipeline(struct parser *parser, struct format_pipeline **out)
{
    struct format_pipeline *pipeline = arena_allocate(&parser->format->arena, 1, sizeof *pipeline);
    *out = pipeline;
    skip_blanks(parser);
    read_variables(parser, pipeline);
    struct format_command **slot = &pipeline->commands;
    for (;;) {
        *slot = arena_allocate(&parser->format->arena, 1, sizeof **slot);
        if (read_command(parser, *slot) < 0)
            return -1;
        if (slot != &pipeline->commands && (*slot)->operands->kind != FORMAT_FUNCTION &&
            !(*slot)->operands->fields)
            return FAIL(parser, "what follows | must be a function");
        if (peek(parser) != '|')
            return 0;
        parser->at++;
        slot = &(*slot)->next;
    }
}

/* Blocks */

enum ending { END_OF_TEXT, END_BLOCK, END_ELSE, END_ELSE_IF, END_ELSE_WITH };

static int read_nodes(struct parser *parser, struct format_node **out, enum ending *ending);

/* "}}" or "-}}", which also takes the blanks after it. */
static int read_end(struct parser *parser)
{
    skip_blanks(parser);
    bool trims = peek(parser) == '-';
    if (!at_end(parser))
        return fail_unexpected(parser, "in an action");
    parser->at += trims ? 3 : 2;
    if (trims)
        skip_blanks(parser);
    return 0;
}

static bool take_word(struct parser *parser, const char *word)
{
    size_t length = strlen(word);
    if (name_length(parser) != length || !starts_with(parser, word))
        return false;
    parser->at += length;
    return true;
}

static int read_else(struct parser *parser, enum ending *ending)
{
    skip_blanks(parser);
    if (take_word(parser, "if")) {
        *ending = END_ELSE_IF;
        return 0;
    }
    if (take_word(parser, "with")) {
        *ending = END_ELSE_WITH;
        return 0;
    }
    *ending = END_ELSE;
    return read_end(parser);
}

static int read_block(struct parser *parser, struct format_node *node)
{
    size_t start = node->position;
    enum ending ending;
    if (++parser->depth > FORMAT_DEPTH)
        return FAIL(parser, "more than %d parentheses and blocks within each other", FORMAT_DEPTH);
    if (read_pipeline(parser, &node->pipeline) < 0 || read_end(parser) < 0)
        return -1;
    parser->range_depth += node->kind == FORMAT_RANGE;
    if (read_nodes(parser, &node->body, &ending) < 0)
        return -1;
    parser->range_depth -= node->kind == FORMAT_RANGE;
    if (ending == END_ELSE_IF || ending == END_ELSE_WITH) {
        struct format_node *inner = arena_allocate(&parser->format->arena, 1, sizeof *inner);
        inner->kind = ending == END_ELSE_IF ? FORMAT_IF : FORMAT_WITH;
        inner->position = parser->at;
        node->otherwise = inner;
        if (read_block(parser, inner) < 0)
            return -1;
        ending = END_BLOCK;
    } else if (ending == END_ELSE && read_nodes(parser, &node->otherwise, &ending) < 0) {
        return -1;
    }
    parser->depth--;
    if (ending == END_BLOCK)
        return 0;
    parser->at = start;
    return FAIL(parser, "the block has no {{end}}, or more than one {{else}}");
}

static int read_action(struct parser *parser, struct format_node *node, enum ending *ending)
{
    static const struct {
        const char *word;
        enum format_node_kind kind;
    } blocks[] = {{"if", FORMAT_IF}, {"with", FORMAT_WITH}, {"range", FORMAT_RANGE}};
    skip_blanks(parser);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (take_word(parser, blocks[i].word)) {
            node->kind = blocks[i].kind;
            return read_block(parser, node);
        }
    }
    if (take_word(parser, "end")) {
        *ending = END_BLOCK;
        return read_end(parser);
    }
    if (take_word(parser, "else"))
        return read_else(parser, ending);
    bool breaks = take_word(parser, "break");
    if (breaks || take_word(parser, "continue")) {
        node->kind = breaks ? FORMAT_BREAK : FORMAT_CONTINUE;
        if (!parser->range_depth)
            return FAIL(parser, "outside of {{range}}");
        return read_end(parser);
    }
    node->kind = FORMAT_ACTION;
    if (read_pipeline(parser, &node->pipeline) < 0)
        return -1;
    return read_end(parser);
}

static int skip_comment(struct parser *parser)
{
    const char *end = strstr(parser->text + parser->at, "*/");
    if (!end)
        return FAIL(parser, "the comment has no end");
    parser->at = (size_t)(end - parser->text) + 2;
    return read_end(parser);
}

/* The text up to the next action; false where there is none. "{{- " takes the blanks before. */
static bool read_text(struct parser *parser, struct format_node *node)
{
    const char *from = parser->text + parser->at;
    const char *brace = strstr(from, "{{");
    *node = (struct format_node){
        .kind = FORMAT_TEXT, .text = from, .length = brace ? (size_t)(brace - from) : strlen(from)};
    parser->at += node->length;
    if (!brace)
        return false;
    parser->at += 2;
    if (peek(parser) == '-' && is_blank(parser->text[parser->at + 1])) {
        parser->at++;
        while (node->length && is_blank(from[node->length - 1]))
            node->length--;
    }
    return true;
}

static int read_nodes(struct parser *parser, struct format_node **out, enum ending *ending)
{
    *ending = END_OF_TEXT;
    for (;;) {
        struct format_node *text = arena_allocate(&parser->format->arena, 1, sizeof *text);
        bool goes_on = read_text(parser, text);
        *out = text;
        out = &text->next;
        if (!goes_on)
            return 0;
        skip_blanks(parser);
        if (starts_with(parser, "/*")) {
            if (skip_comment(parser) < 0)
                return -1;
            continue;
        }
        struct format_node *node = arena_allocate(&parser->format->arena, 1, sizeof *node);
        node->position = parser->at;
        if (read_action(parser, node, ending) < 0)
            return -1;
        if (*ending != END_OF_TEXT)
            return 0;
        *out = node;
        out = &node->next;
    }
}

void format_release(struct format *format)
{
    if (!format)
        return;
    json_decref(format->literals);
    arena_release(&format->arena);
    free(format);
}

struct format *format_parse(const char *text, struct error *err)
{
    if (strlen(text) > FORMAT_TEXT_SIZE) {
        error_set(err, 0, "format: the template is longer than %d bytes", FORMAT_TEXT_SIZE);
        return NULL;
    }
    struct format *format = memory_allocate(1, sizeof *format);
    format->text = arena_copy_string(&format->arena, text);
    format->literals = json_array();
    struct parser parser = {.format = format, .text = format->text, .err = err};
    enum ending ending;
    if (read_nodes(&parser, &format->nodes, &ending) == 0) {
        if (ending == END_OF_TEXT)
            return format;
        FAIL(&parser, "{{end}} or {{else}} without a block before it");
    }
    format_release(format);
    return NULL;
}
