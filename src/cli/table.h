/* What verbs list: rows as a table that fits the terminal, or as `--format` asks. And how sizes
 * and times are put for people. */
#ifndef HULL_CLI_TABLE_H
#define HULL_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

#include "base/error.h"

struct table_column {
    const char *field;  /* of a row: "ID" */
    const char *header; /* "CONTAINER ID" */
    bool shrinks;       /* may be cut to fit the terminal; who gives --no-trunc wants none cut */
    bool is_extra;      /* only for --format: not in the table that is printed without it */
};

/* Prints rows, an array of objects that have a text for each field.
 *
 * format is the value of --format: NULL or "table" for the columns; "table {{.A}}\t{{.B}}" for
 * others, with a header; "json" for an object a line; or a template for each row. columns ends
 * with a NULL field. A member "Label" of a row, a map, serves `.Label "KEY"` and is not shown.
 * Columns that shrink do so only on a terminal (or where $COLUMNS says how wide one is), and only
 * if may_shrink. */
int table_print(const struct table_column *columns, const json_t *rows, const char *format,
                bool may_shrink, FILE *out, struct error *err);
/* The same of one field alone, without a header: -q. */
void table_print_field(const json_t *rows, const char *field, FILE *out);

/* The terminal's width in columns, or 0 if out is none. */
int table_terminal_width(FILE *out);

#endif
