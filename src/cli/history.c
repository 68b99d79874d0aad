#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/table.h"

#define STEP_WIDTH 45 /* docker's */

static const struct command_flag flags[] = {
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "human", .letter = 'H', .default_text = "true", .help = "sizes and times for people"},
    {.name = "no-trunc", .help = "don't cut what was done"},
    {.name = "quiet", .letter = 'q', .help = "print only ids"},
    {0},
};

static const struct table_column columns[] = {
    {"ID", "IMAGE", false, false},
    {"CreatedSince", "CREATED", false, false},
    {"CreatedBy", "CREATED BY", true, false},
    {"Size", "SIZE", false, false},
    {"Comment", "COMMENT", true, false},
    {"CreatedAt", "CREATED AT", false, true},
    {0},
};

/* At most STEP_WIDTH characters of it, on one line. */
static char *shorten(const char *text, bool whole)
{
    char *copy = memory_copy_string(text);
    for (char *at = copy; *at; at++)
        if (*at == '\t' || *at == '\n')
            *at = ' ';
    size_t width = 0, bytes = 0;
    for (; copy[bytes]; bytes++) {
        width += ((unsigned char)copy[bytes] & 0xc0) != 0x80;
        if (!whole && width == STEP_WIDTH && strlen(copy + bytes) > 3) {
            char *cut = memory_format("%.*s…", (int)bytes, copy);
            free(copy);
            return cut;
        }
    }
    return copy;
}

static json_t *make_row(const struct cli_context *context, const struct image_history_entry *entry)
{
    const struct command_line *line = context->line;
    const char *human_flag = command_value(line, "human");
    bool whole = command_given(line, "no-trunc");
    bool human = !human_flag || strcmp(human_flag, "true") == 0;
    scope_free char *step = shorten(entry->created_by, whole);
    char size[32];
    snprintf(size, sizeof size, "%lld", (long long)entry->size);
    const struct human_text at =
        entry->created ? human_time(entry->created) : (struct human_text){"N/A"};
    json_t *row = json_object();
    json_object_set_new(
        row, "ID",
        json_string(*entry->id ? image_verb_show_id(entry->id, whole).text : "<missing>"));
    json_object_set_new(row, "CreatedAt", json_string(at.text));
    json_object_set_new(row, "CreatedSince",
                        json_string(!entry->created ? "N/A"
                                    : human         ? human_age(entry->created, time(NULL)).text
                                                    : at.text));
    json_object_set_new(row, "CreatedBy", json_string(step));
    json_object_set_new(row, "Size",
                        json_string(human ? human_size((uint64_t)entry->size).text : size));
    json_object_set_new(row, "Comment", json_string(entry->comment));
    return row;
}

static int print_history(struct cli_context *context, struct image_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    scope_image struct image image = {0};
    scope_free struct image_history_entry *entries = NULL;
    size_t count;
    if (image_verb_find(store, line->arguments[0], &image, err) < 0 ||
        image_history(store, &image, &entries, &count, err) < 0)
        return -1;
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, make_row(context, &entries[i]));
    int status = 0;
    if (command_given(line, "quiet"))
        table_print_field(rows, "ID", stdout);
    else
        status = table_print(columns, rows, command_value(line, "format"),
                             !command_given(line, "no-trunc"), stdout, err);
    json_decref(rows);
    return status;
}

static int run_history(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, print_history, err);
}

const struct cli_verb cli_history = {
    .command = {.name = "history",
                .aliases = "image history",
                .arguments = "IMAGE",
                .summary = "show how an image came to be",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_history,
};
