/* Templates: text, actions and blocks. */
#include <stdarg.h>
#include <stdlib.h>

#include "cli/format_parser.h"

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

/* Blocks */

enum ending { END_OF_TEXT, END_BLOCK, END_ELSE, END_ELSE_IF, END_ELSE_WITH };

static int read_nodes(struct format_parser *parser, struct format_node **out, enum ending *ending);

/* "}}" or "-}}", which also takes the blanks after it. */
static int read_end(struct format_parser *parser)
{
    format_skip_blanks(parser);
    bool trims = format_peek(parser) == '-';
    if (!format_at_end(parser))
        return format_fail_unexpected(parser, "in an action");
    parser->at += trims ? 3 : 2;
    if (trims)
        format_skip_blanks(parser);
    return 0;
}

static bool take_word(struct format_parser *parser, const char *word)
{
    size_t length = strlen(word);
    if (format_name_length(parser) != length || !format_starts_with(parser, word))
        return false;
    parser->at += length;
    return true;
}

static int read_else(struct format_parser *parser, enum ending *ending)
{
    format_skip_blanks(parser);
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

static int read_block(struct format_parser *parser, struct format_node *node)
{
    size_t start = node->position;
    enum ending ending;
    if (++parser->depth > FORMAT_DEPTH)
        return FORMAT_FAIL(parser, "more than %d parentheses and blocks within each other",
                           FORMAT_DEPTH);
    if (format_read_pipeline(parser, &node->pipeline) < 0 || read_end(parser) < 0)
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
    return FORMAT_FAIL(parser, "the block has no {{end}}, or more than one {{else}}");
}

static int read_action(struct format_parser *parser, struct format_node *node, enum ending *ending)
{
    static const struct {
        const char *word;
        enum format_node_kind kind;
    } blocks[] = {{"if", FORMAT_IF}, {"with", FORMAT_WITH}, {"range", FORMAT_RANGE}};
    format_skip_blanks(parser);
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
            return FORMAT_FAIL(parser, "outside of {{range}}");
        return read_end(parser);
    }
    node->kind = FORMAT_ACTION;
    if (format_read_pipeline(parser, &node->pipeline) < 0)
        return -1;
    return read_end(parser);
}

static int skip_comment(struct format_parser *parser)
{
    const char *end = strstr(parser->text + parser->at, "*/");
    if (!end)
        return FORMAT_FAIL(parser, "the comment has no end");
    parser->at = (size_t)(end - parser->text) + 2;
    return read_end(parser);
}

/* The text up to the next action; false where there is none. "{{- " takes the blanks before. */
static bool read_text(struct format_parser *parser, struct format_node *node)
{
    const char *from = parser->text + parser->at;
    const char *brace = strstr(from, "{{");
    *node = (struct format_node){
        .kind = FORMAT_TEXT, .text = from, .length = brace ? (size_t)(brace - from) : strlen(from)};
    parser->at += node->length;
    if (!brace)
        return false;
    parser->at += 2;
    if (format_peek(parser) == '-' && format_is_blank(parser->text[parser->at + 1])) {
        parser->at++;
        while (node->length && format_is_blank(from[node->length - 1]))
            node->length--;
    }
    return true;
}

static int read_nodes(struct format_parser *parser, struct format_node **out, enum ending *ending)
{
    *ending = END_OF_TEXT;
    for (;;) {
        struct format_node *text = arena_allocate(&parser->format->arena, 1, sizeof *text);
        bool goes_on = read_text(parser, text);
        *out = text;
        out = &text->next;
        if (!goes_on)
            return 0;
        format_skip_blanks(parser);
        if (format_starts_with(parser, "/*")) {
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
    struct format_parser parser = {.format = format, .text = format->text, .err = err};
    enum ending ending;
    if (read_nodes(&parser, &format->nodes, &ending) == 0) {
        if (ending == END_OF_TEXT)
            return format;
        FORMAT_FAIL(&parser, "{{end}} or {{else}} without a block before it");
    }
    format_release(format);
    return NULL;
}
