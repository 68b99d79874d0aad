#include "engine/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/engine_verb.h"
#include "cli/human.h"
#include "cli/table.h"
#include "monitor/document.h"

#define INTERVAL_NS 1000000000L

static const struct command_flag flags[] = {
    {.name = "all", .letter = 'a', .help = "show those that don't run, too"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "no-stream", .help = "print the first result and end"},
    {.name = "no-trunc", .help = "don't cut ids"},
    {0},
};

static const struct table_column columns[] = {
    {"ID", "CONTAINER ID", false, false},    {"Name", "NAME", true, false},
    {"CPUPerc", "CPU %", false, false},      {"MemUsage", "MEM USAGE / LIMIT", false, false},
    {"MemPerc", "MEM %", false, false},      {"NetIO", "NET I/O", false, false},
    {"BlockIO", "BLOCK I/O", false, false},  {"PIDs", "PIDS", false, false},
    {"Container", "CONTAINER", false, true}, {0},
};

/* What was read last of each container, to tell its share of processor time. */
struct sample {
    char id[ENGINE_ID_SIZE];
    struct engine_stats stats;
};

struct sampling {
    struct cli_context *context;
    struct engine *engine;
    struct sample *samples;
    size_t count;
};

static void set_made(json_t *row, const char *key, char *text)
{
    json_object_set_new(row, key, json_string(text));
    free(text);
}

static double percent(double part, double all)
{
    return all > 0 ? 100 * part / all : 0;
}

/* Remembers what is now, and gives the share since the last time: of one processor, in percent. */
static double take_share(struct sampling *sampling, const char *id, const struct engine_stats *now)
{
    struct sample *sample = NULL;
    for (size_t i = 0; i < sampling->count && !sample; i++)
        if (strcmp(sampling->samples[i].id, id) == 0)
            sample = &sampling->samples[i];
    double share = sample && now->cpu >= sample->stats.cpu
                       ? percent((double)(now->cpu - sample->stats.cpu),
                                 (double)(now->time - sample->stats.time))
                       : 0;
    if (!sample) {
        sampling->samples = memory_resize(sampling->samples, sampling->count + 1, sizeof *sample);
        sample = &sampling->samples[sampling->count++];
        snprintf(sample->id, sizeof sample->id, "%s", id);
    }
    sample->stats = *now;
    return share;
}

static json_t *make_row(struct sampling *sampling, const struct engine_container *container,
                        const struct engine_stats *stats, bool is_running)
{
    bool whole = command_given(sampling->context->line, "no-trunc");
    json_t *row = json_object();
    double share = is_running ? take_share(sampling, container->id, stats) : 0;
    json_object_set_new(row, "ID", json_string(engine_verb_show_id(container->id, whole).text));
    json_object_set_new(row, "Name", json_string(container->name));
    json_object_set_new(row, "Container", json_string(container->name));
    if (!is_running) {
        static const char *const empty[][2] = {{"CPUPerc", "--"}, {"MemUsage", "-- / --"},
                                               {"MemPerc", "--"}, {"NetIO", "--"},
                                               {"BlockIO", "--"}, {"PIDs", "--"}};
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
            json_object_set_new(row, empty[i][0], json_string(empty[i][1]));
        return row;
    }
    set_made(row, "CPUPerc", memory_format("%.2f%%", share));
    set_made(row, "MemUsage",
             memory_format("%s / %s", human_binary_size(stats->memory).text,
                           human_binary_size(stats->memory_limit).text));
    set_made(row, "MemPerc",
             memory_format("%.2f%%", percent((double)stats->memory, (double)stats->memory_limit)));
    set_made(
        row, "NetIO",
        memory_format("%s / %s", human_size(stats->received).text, human_size(stats->sent).text));
    set_made(row, "BlockIO",
             memory_format("%s / %s", human_size(stats->block_read).text,
                           human_size(stats->block_written).text));
    set_made(row, "PIDs", memory_format("%llu", (unsigned long long)stats->pids));
    return row;
}

/* Containers that the arguments name, or all that run. */
static int find_containers(struct sampling *sampling, struct engine_list *list, struct error *err)
{
    const struct command_line *line = sampling->context->line;
    if (line->argument_count == 0)
        return engine_list(sampling->engine, list, err);
    list->items = memory_allocate((size_t)line->argument_count, sizeof *list->items);
    for (int i = 0; i < line->argument_count; i++, list->count++)
        if (engine_find(sampling->engine, line->arguments[i], &list->items[i], err) < 0)
            return -1;
    return 0;
}

static json_t *read_rows(struct sampling *sampling, struct error *err)
{
    const struct command_line *line = sampling->context->line;
    scope_engine_list struct engine_list list = {0};
    bool all = command_given(line, "all") || line->argument_count > 0;
    if (find_containers(sampling, &list, err) < 0)
        return NULL;
    json_t *rows = json_array();
    for (size_t i = 0; i < list.count; i++) {
        struct engine_stats stats;
        int read = engine_read_stats(sampling->engine, &list.items[i], &stats, err);
        if (read < 0) {
            json_decref(rows);
            return NULL;
        }
        if (read > 0 || all)
            json_array_append_new(rows, make_row(sampling, &list.items[i], &stats, read > 0));
    }
    return rows;
}

/* At most width characters of it. */
static int visible_length(const char *line, int width)
{
    int bytes = 0;
    for (int characters = 0; line[bytes]; bytes++)
        if (((unsigned char)line[bytes] & 0xc0) != 0x80 && characters++ == width)
            break;
    return bytes;
}

static int print_rows(struct sampling *sampling, bool refreshes, struct error *err)
{
    const struct command_line *line = sampling->context->line;
    scope_json json_t *rows = read_rows(sampling, err);
    scope_free char *text = NULL;
    size_t length;
    int width = table_terminal_width(stdout);
    if (!rows)
        return -1;
    if (!refreshes)
        return table_print(columns, rows, command_value(line, "format"),
                           !command_given(line, "no-trunc"), stdout, err);
    /* Over what was there, line by line, so that nothing flickers. */
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return error_set(err, 0, "no memory for the table");
    int status = table_print(columns, rows, command_value(line, "format"), false, memory, err);
    fclose(memory);
    fputs("\033[H", stdout);
    char *rest = text;
    for (char *next; status == 0 && (next = strsep(&rest, "\n")) && rest;)
        printf("%.*s\033[K\n", visible_length(next, width > 0 ? width : 80), next);
    fputs("\033[J", stdout);
    return status;
}

static int print_stats(struct cli_context *context, struct engine *engine, struct error *err)
{
    const struct timespec interval = {INTERVAL_NS / 1000000000L, INTERVAL_NS % 1000000000L};
    struct sampling sampling = {.context = context, .engine = engine};
    bool streams = !command_given(context->line, "no-stream");
    bool refreshes = streams && isatty(STDOUT_FILENO);
    /* Shares are of the time between two samples; the first isn't shown. */
    scope_json json_t *first = read_rows(&sampling, err);
    int status = first ? 0 : -1;
    if (status == 0 && refreshes)
        fputs("\033[2J", stdout);
    do {
        if (status == 0 && (streams || json_array_size(first) > 0))
            nanosleep(&interval, NULL);
        if (status == 0)
            status = print_rows(&sampling, refreshes, err);
        if (fflush(stdout) != 0)
            break;
    } while (status == 0 && streams);
    free(sampling.samples);
    return status;
}

static int run_stats(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, print_stats, err);
}

const struct cli_verb cli_stats = {
    .command = {.name = "stats",
                .aliases = "container stats",
                .arguments = "[CONTAINER...]",
                .summary = "show what containers use, again and again",
                .flags = flags,
                .max_arguments = -1},
    .run = run_stats,
};
