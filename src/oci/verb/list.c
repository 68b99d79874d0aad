#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "container/record.h"
#include "container/state.h"
#include "oci/verb/output.h"
#include "oci/verb/verb.h"

/* The columns of runc's table. */
static const char *const column_titles[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
static const char *const column_members[] = {"id", "pid", "status", "bundle", "created", "owner"};
#define COLUMNS (sizeof column_titles / sizeof *column_titles)

static const char *cell(const json_t *row, size_t column, char number[24])
{
    const json_t *value = json_object_get(row, column_members[column]);
    if (json_is_integer(value)) {
        snprintf(number, 24, "%lld", (long long)json_integer_value(value));
        return number;
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

static void print_table(const json_t *rows)
{
    size_t widths[COLUMNS], index;
    json_t *row;
    char number[24];
    for (size_t column = 0; column < COLUMNS; column++) {
        widths[column] = strlen(column_titles[column]);
        json_array_foreach(rows, index, row)
        {
            size_t width = strlen(cell(row, column, number));
            if (width > widths[column])
                widths[column] = width;
        }
        if (widths[column] < 9) /* runc's least width is 12 with its padding of 3 */
            widths[column] = 9;
    }
    for (size_t column = 0; column < COLUMNS; column++)
        printf("%-*s", column + 1 < COLUMNS ? (int)widths[column] + 3 : 0, column_titles[column]);
    putchar('\n');
    json_array_foreach(rows, index, row)
    {
        for (size_t column = 0; column < COLUMNS; column++)
            printf("%-*s", column + 1 < COLUMNS ? (int)widths[column] + 3 : 0,
                   cell(row, column, number));
        putchar('\n');
    }
}

static void print_ids(const json_t *rows)
{
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row) puts(json_string_value(json_object_get(row, "id")));
}

/* A container that is deleted while we look is left out. */
static json_t *describe_all(const char *root, char *const *ids, size_t count)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++) {
        scope_record struct record record = RECORD_CLOSED;
        if (record_open(&record, root, ids[i], NULL) == 0)
            json_array_append_new(rows, state_describe(&record));
    }
    return rows;
}

int verb_list(struct verb_context *context, struct error *err)
{
    char **ids;
    size_t count;
    if (record_list(context->root, &ids, &count, err) < 0)
        return -1;
    json_t *rows = describe_all(context->root, ids, count);
    for (size_t i = 0; i < count; i++)
        free(ids[i]);
    free(ids);
    const char *format = command_value(context->line, "format");
    if (command_given(context->line, "quiet"))
        print_ids(rows);
    else if (format && strcmp(format, "json") == 0)
        return output_json(rows, JSON_COMPACT, err);
    else
        print_table(rows);
    json_decref(rows);
    return output_finish(err);
}
