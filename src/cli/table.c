#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/format.h"

#define GAP 3
#define MINIMUM_WIDTH 10 /* of a column with its gap; docker's */
#define SHRUNK_WIDTH 8   /* what a column that shrinks keeps at least */
#define ELLIPSIS "…"

/* Lines of cells; the first is the header. Tabs separated the cells of a line, so that lines may
 * have different numbers of them. */
struct grid {
    char ***lines; /* each ends with NULL */
    size_t count;
    size_t columns; /* of the longest */
};

static void release_grid(struct grid *grid)
{
    for (size_t i = 0; i < grid->count; i++) {
        for (char **cell = grid->lines[i]; *cell; cell++)
            free(*cell);
        free(grid->lines[i]);
    }
    free(grid->lines);
}

static char **add_line(struct grid *grid, size_t cells)
{
    grid->lines = memory_resize(grid->lines, grid->count + 1, sizeof *grid->lines);
    char **line = memory_allocate(cells + 1, sizeof *line);
    grid->lines[grid->count++] = line;
    if (cells > grid->columns)
        grid->columns = cells;
    return line;
}

/* Characters, not bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* What stands in a table is one line of it: labels and names of images can't move the cursor. */
static char *clean_cell(char *text)
{
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return text;
}

static void add_text_line(struct grid *grid, const char *text)
{
    size_t cells = 1;
    for (const char *at = text; *at; at++)
        cells += *at == '\t';
    char **line = add_line(grid, cells);
    for (size_t i = 0; i < cells; i++) {
        size_t length = strcspn(text, "\t");
        line[i] = clean_cell(memory_format("%.*s", (int)length, text));
        text += length + 1;
    }
}

int table_terminal_width(FILE *out)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (!isatty(fileno(out)))
        return 0;
    if (columns && atoi(columns) > 0)
        return atoi(columns);
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* The column's width without its gap. What ends a line is not part of its column. */
static void measure(const struct grid *grid, size_t *widths)
{
    for (size_t i = 0; i < grid->count; i++)
        for (size_t j = 0; grid->lines[i][j]; j++) {
            size_t width = text_width(grid->lines[i][j]);
            if (width > widths[j])
                widths[j] = width;
        }
    for (size_t j = 0; j + 1 < grid->columns; j++)
        if (widths[j] < MINIMUM_WIDTH - GAP)
            widths[j] = MINIMUM_WIDTH - GAP;
}

/* Takes from the widest column that shrinks, character by character, until all fit. */
static void shrink(size_t *widths, size_t count, const bool *shrinks, size_t room)
{
    for (;;) {
        size_t total = (count - 1) * GAP, widest = count;
        for (size_t j = 0; j < count; j++) {
            total += widths[j];
            if (shrinks[j] && widths[j] > SHRUNK_WIDTH &&
                (widest == count || widths[j] > widths[widest]))
                widest = j;
        }
        if (total <= room || widest == count)
            return;
        widths[widest]--;
    }
}

static void print_cell(const char *cell, size_t width, bool is_last, FILE *out)
{
    size_t length = text_width(cell);
    if (length > width) {
        size_t bytes = 0;
        for (size_t left = width - 1; left > 0; left--)
            do
                bytes++;
            while (((unsigned char)cell[bytes] & 0xc0) == 0x80);
        fprintf(out, "%.*s" ELLIPSIS, (int)bytes, cell);
        length = width;
    } else {
        fputs(cell, out);
    }
    if (!is_last)
        fprintf(out, "%*s", (int)(width - length + GAP), "");
}

/* shrinks has a member a column, or is NULL. */
static void print_grid(const struct grid *grid, const bool *shrinks, FILE *out)
{
    scope_free size_t *widths = memory_allocate(grid->columns, sizeof *widths);
    measure(grid, widths);
    int room = table_terminal_width(out);
    if (shrinks && room > 0)
        shrink(widths, grid->columns, shrinks, (size_t)room);
    for (size_t i = 0; i < grid->count; i++) {
        for (size_t j = 0; grid->lines[i][j]; j++)
            print_cell(grid->lines[i][j], widths[j], !grid->lines[i][j + 1], out);
        fputc('\n', out);
    }
}

static char *field_text(const json_t *row, const char *field)
{
    char *text = NULL;
    size_t length;
    const json_t *value = json_object_get(row, field);
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return memory_copy_string("");
    if (value)
        format_print_value(value, out);
    fclose(out);
    return text ? text : memory_copy_string("");
}

static void print_columns(const struct table_column *columns, const json_t *rows, bool may_shrink,
                          FILE *out)
{
    struct grid grid = {0};
    size_t count = 0;
    for (const struct table_column *column = columns; column->field; column++)
        count += !column->is_extra;
    scope_free bool *shrinks = memory_allocate(count, sizeof *shrinks);
    for (size_t i = 0; i <= json_array_size(rows); i++) {
        char **line = add_line(&grid, count);
        size_t j = 0;
        for (const struct table_column *column = columns; column->field; column++) {
            if (column->is_extra)
                continue;
            shrinks[j] = column->shrinks;
            line[j++] = clean_cell(i ? field_text(json_array_get(rows, i - 1), column->field)
                                     : memory_copy_string(column->header));
        }
    }
    print_grid(&grid, may_shrink ? shrinks : NULL, out);
    release_grid(&grid);
}

/* In a table's template \t and \n may be written as two characters, as one does in a shell. */
static char *undo_escapes(const char *text)
{
    char *copy = memory_copy_string(text), *to = copy;
    bool in_action = false;
    for (const char *at = text; *at; at++) {
        if (strncmp(at, "{{", 2) == 0 || strncmp(at, "}}", 2) == 0)
            in_action = *at == '{';
        if (!in_action && at[0] == '\\' && (at[1] == 't' || at[1] == 'n'))
            *to++ = *++at == 't' ? '\t' : '\n';
        else
            *to++ = *at;
    }
    *to = '\0';
    return copy;
}

/* The template filled with the headers in place of the fields is the header line. */
static json_t *make_header(const struct table_column *columns)
{
    json_t *header = json_object();
    for (const struct table_column *column = columns; column->field; column++)
        json_object_set_new(header, column->field, json_string(column->header));
    json_object_set_new(header, "Label", json_object());
    return header;
}

static int print_template_table(const struct table_column *columns, const json_t *rows,
                                const struct format *format, FILE *out, struct error *err)
{
    struct grid grid = {0};
    int status = 0;
    json_t *header = make_header(columns);
    scope_free char *first = format_make_text(format, header, NULL);
    /* `printf "%d"` and the like don't go with a header: then there is none. */
    add_text_line(&grid, first ? first : "");
    json_decref(header);
    for (size_t i = 0; status == 0 && i < json_array_size(rows); i++) {
        scope_free char *text = format_make_text(format, json_array_get(rows, i), err);
        if (text)
            add_text_line(&grid, text);
        else
            status = -1;
    }
    if (status == 0)
        print_grid(&grid, NULL, out);
    release_grid(&grid);
    return status;
}

static int print_lines(const json_t *rows, const struct format *format, FILE *out,
                       struct error *err)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        scope_free char *text = format_make_text(format, json_array_get(rows, i), err);
        if (!text)
            return -1;
        fprintf(out, "%s\n", text);
    }
    return 0;
}

int table_print(const struct table_column *columns, const json_t *rows, const char *format,
                bool may_shrink, FILE *out, struct error *err)
{
    if (!format || !*format || strcmp(format, "table") == 0) {
        print_columns(columns, rows, may_shrink, out);
        return 0;
    }
    bool is_table = strncmp(format, "table ", 6) == 0;
    scope_free char *text = undo_escapes(is_table ? format + 6 + strspn(format + 6, " ")
                                         : strcmp(format, "json") == 0 ? "{{json .}}"
                                                                       : format);
    struct format *parsed = format_parse(text, err);
    if (!parsed)
        return -1;
    int status = is_table ? print_template_table(columns, rows, parsed, out, err)
                          : print_lines(rows, parsed, out, err);
    format_release(parsed);
    return status;
}

void table_print_field(const json_t *rows, const char *field, FILE *out)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        scope_free char *text = field_text(json_array_get(rows, i), field);
        fprintf(out, "%s\n", text);
    }
}
