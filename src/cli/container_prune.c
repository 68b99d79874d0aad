#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/filter.h"
#include "cli/human.h"
#include "cli/prompt.h"
#include "cli/prune.h"
#include "monitor/document.h"

static const struct command_flag flags[] = {
    {.name = "filter",
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only containers that until, label or label! say"},
    {.name = "force", .letter = 'f', .help = "don't ask"},
    {0},
};

static bool passes(const struct prune_filter *filter, const struct engine_container *container)
{
    const json_t *labels = json_object_get(container->settings, "Labels");
    for (size_t i = 0; i < filter->count; i++) {
        const char *until = filter_value(filter->filters[i], "until");
        const char *label = filter_value(filter->filters[i], "label");
        const char *absent = filter_value(filter->filters[i], "label!");
        if ((until && container->created / TIMESTAMP_SECOND >= filter_read_until(until)) ||
            (label && !filter_has_label(labels, label)) ||
            (absent && filter_has_label(labels, absent)))
            return false;
    }
    return true;
}

void prune_print(const char *heading, const json_t *texts)
{
    const json_t *text;
    size_t i;
    if (json_array_size(texts) == 0)
        return;
    printf("%s\n", heading);
    json_array_foreach(texts, i, text) printf("%s\n", json_string_value(text));
    putchar('\n');
}

/* 1: removed; 0: it runs, or is gone; -1: failed. */
static int remove_stopped(struct engine *engine, const struct engine_container *container,
                          struct error *err)
{
    const struct engine_removal removal = {.force = false};
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    if (is_up)
        return 0;
    return engine_remove(engine, container, &removal, err) < 0 ? -1 : 1;
}

int prune_containers(struct cli_context *context, struct engine *engine,
                     const struct prune_filter *filter, int64_t *bytes, struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    scope_json json_t *removed = json_array();
    if (engine_list(engine, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        struct error why;
        if (!passes(filter, &list.items[i]))
            continue;
        int64_t size = engine_size(&list.items[i]);
        int result = remove_stopped(engine, &list.items[i], &why);
        if (result < 0)
            engine_verb_report(context, &why);
        if (result <= 0)
            continue;
        json_array_append_new(removed, json_string(list.items[i].id));
        *bytes += size;
    }
    prune_print("Deleted Containers:", removed);
    return 0;
}

static int prune(struct cli_context *context, struct engine *engine, struct error *err)
{
    struct command_line *line = context->line;
    struct prune_filter filter = {0};
    int64_t bytes = 0;
    filter.count = command_values(line, "filter", &filter.filters);
    if (filter_check(filter.filters, filter.count, "until label label!", err) < 0)
        return -1;
    if (!command_given(line, "force") &&
        !prompt_confirm("This will remove all stopped containers."))
        return 0;
    if (prune_containers(context, engine, &filter, &bytes, err) < 0)
        return -1;
    printf("Total reclaimed space: %s\n", human_size((uint64_t)bytes).text);
    return 0;
}

static int run_container_prune(struct cli_context *context, struct error *err)
{
    return engine_verb_run(context, prune, err);
}

const struct cli_verb cli_container_prune = {
    .command = {.name = "container prune",
                .summary = "remove containers that don't run",
                .flags = flags},
    .run = run_container_prune,
};
