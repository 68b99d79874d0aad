/* A parsed template, and what its functions are given. */
#ifndef HULL_CLI_FORMAT_INTERNAL_H
#define HULL_CLI_FORMAT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "cli/format.h"

#define FORMAT_DEPTH 64            /* of blocks and parentheses within each other */
#define FORMAT_ARGUMENTS 32        /* of one function */
#define FORMAT_TEXT_SIZE (1 << 20) /* of a template */

enum format_operand_kind {
    FORMAT_DOT,        /* "." or ".A.B" */
    FORMAT_VARIABLE,   /* "$" or "$name.A" */
    FORMAT_LITERAL,    /* "text", 12, true, nil */
    FORMAT_FUNCTION,   /* json */
    FORMAT_PARENTHESES /* (index .X 0).A */
};

struct format_field {
    const char *name;
    const struct format_field *next;
};

struct format_operand {
    enum format_operand_kind kind;
    size_t position;                   /* in the text */
    const char *name;                  /* of a variable or function */
    const json_t *literal;             /* belongs to the format; NULL is nil */
    struct format_pipeline *pipeline;  /* in parentheses */
    const struct format_field *fields; /* looked up in it, one after the other */
    struct format_operand *next;
};

struct format_command {
    struct format_operand *operands;
    struct format_command *next; /* gets the result of this one as its last argument */
};

struct format_pipeline {
    const char *variables[2]; /* "$i, $x := …"; NULL: none. With one, it is the second */
    bool assigns;             /* "=" instead of ":=" */
    struct format_command *commands;
};

enum format_node_kind {
    FORMAT_TEXT,
    FORMAT_ACTION,
    FORMAT_IF,
    FORMAT_WITH,
    FORMAT_RANGE,
    FORMAT_BREAK,
    FORMAT_CONTINUE,
};

struct format_node {
    enum format_node_kind kind;
    size_t position;
    const char *text; /* of FORMAT_TEXT */
    size_t length;
    struct format_pipeline *pipeline;
    struct format_node *body, *otherwise;
    struct format_node *next;
};

struct format {
    struct arena arena;
    const char *text;
    json_t *literals;
    struct format_node *nodes;
};

/* Sets "format: line L, column C: …"; returns -1. */
int format_fail(const char *text, size_t position, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A call of a function. An argument is NULL for what isn't there. */
struct format_call {
    const struct format *format;
    size_t position;
    json_t *arguments[FORMAT_ARGUMENTS];
    size_t count;
    const json_t *root;
    struct error *err;
};

struct format_function {
    const char *name;
    size_t minimum, maximum; /* of arguments */
    /* *result becomes a new reference, or NULL for no value. */
    int (*call)(struct format_call *call, json_t **result);
};

/* NULL if there is none of that name. `and` and `or`, which needn't look at all their arguments,
 * are the evaluator's own and not here. */
const struct format_function *format_find_function(const char *name);
/* Tells also those two. */
bool format_is_function(const char *name);
bool format_is_true(const json_t *value);
/* For qsort(3) of an array of strings: maps are shown in the order of their keys, as Go does. */
int format_compare_keys(const void *left, const void *right);

/* The argument at index, or -1 with an error that says what it should have been. */
int format_need_string(const struct format_call *call, size_t index, const char **text);
int format_need_integer(const struct format_call *call, size_t index, json_int_t minimum,
                        json_int_t maximum, json_int_t *value);

/* The functions that make texts (format_text.c). */
int format_call_upper(struct format_call *call, json_t **result);
int format_call_lower(struct format_call *call, json_t **result);
int format_call_title(struct format_call *call, json_t **result);
int format_call_join(struct format_call *call, json_t **result);
int format_call_split(struct format_call *call, json_t **result);
int format_call_truncate(struct format_call *call, json_t **result);
int format_call_pad(struct format_call *call, json_t **result);
int format_call_print(struct format_call *call, json_t **result);
int format_call_println(struct format_call *call, json_t **result);
int format_call_printf(struct format_call *call, json_t **result);

#endif
