/* `--format`: a template as Docker's flags take them, which are Go's text/template, filled from a
 * JSON value. Of Go's language there is everything but `define`, `template` and `block`; of the
 * functions those of Go that make sense for JSON, and Docker's json, split, join, title, lower,
 * upper, pad and truncate.
 *
 * What JSON can't tell from Go's types is decided so: a field whose name begins with a capital
 * letter is a struct's, so that it must be there (its case may differ: `.ID` finds "Id"); any other
 * is a key of a map, and "<no value>" if absent. In the condition of `if`, `with` and `range`
 * whatever is absent counts as empty. */
#ifndef HULL_CLI_FORMAT_H
#define HULL_CLI_FORMAT_H

#include <stdio.h>

#include <jansson.h>

#include "base/error.h"

struct format;

/* NULL with an error that names the position: "format: line 1, column 9: …". */
struct format *format_parse(const char *text, struct error *err);
void format_release(struct format *format);

/* Writes the template filled with value; no newline is added. What was written before an error
 * stays written. A member "Label" of value (a map) serves `.Label "KEY"`, and isn't shown by
 * `json .`. */
int format_print(const struct format *format, const json_t *value, FILE *out, struct error *err);
/* The same as a string, which the caller frees; NULL with the error. */
char *format_make_text(const struct format *format, const json_t *value, struct error *err);

/* Parses, prints one line for value, and releases: what `inspect -f` does for each object.
 * "json" alone is short for {{json .}}. */
int format_print_line(const char *text, const json_t *value, FILE *out, struct error *err);

/* As {{.}} shows it: map[a:1 b:[2 3]]. */
void format_print_value(const json_t *value, FILE *out);

#endif
