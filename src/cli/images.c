#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/table.h"

static const struct command_flag flags[] = {
    {.name = "all", .letter = 'a', .help = "show intermediate images too (hull makes none)"},
    {.name = "digests", .help = "show digests"},
    {.name = "filter",
     .letter = 'f',
     .argument = "KEY=VALUE",
     .repeats = true,
     .help = "only images that dangling, label, reference, before or since say"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "no-trunc", .help = "don't cut ids"},
    {.name = "quiet", .letter = 'q', .help = "print only ids"},
    {0},
};

static const struct table_column columns[] = {
    {"Repository", "REPOSITORY", true, false},
    {"Tag", "TAG", true, false},
    {"ID", "IMAGE ID", false, false},
    {"CreatedSince", "CREATED", false, false},
    {"Size", "SIZE", false, false},
    {"Digest", "DIGEST", false, true},
    {"CreatedAt", "CREATED AT", false, true},
    {"Containers", "CONTAINERS", false, true},
    {"SharedSize", "SHARED SIZE", false, true},
    {"UniqueSize", "UNIQUE SIZE", false, true},
    {"VirtualSize", "VIRTUAL SIZE", false, true},
    {0},
};

static const struct table_column columns_with_digests[] = {
    {"Repository", "REPOSITORY", true, false}, {"Tag", "TAG", true, false},
    {"Digest", "DIGEST", true, false},         {"ID", "IMAGE ID", false, false},
    {"CreatedSince", "CREATED", false, false}, {"Size", "SIZE", false, false},
    {"CreatedAt", "CREATED AT", false, true},  {0},
};

/* The digest under which the repository knows the image. */
static const char *find_digest(const struct image *image, const char *repository)
{
    size_t length = strlen(repository);
    for (size_t i = 0; i < image->digest_count; i++)
        if (strncmp(image->digests[i], repository, length) == 0 && image->digests[i][length] == '@')
            return image->digests[i] + length + 1;
    return "<none>";
}

static json_t *make_row(const struct cli_context *context, const struct image *image,
                        const char *name)
{
    struct reference reference = {.tag = "<none>"};
    char familiar[REFERENCE_TEXT_SIZE] = "<none>", repository[REFERENCE_TEXT_SIZE] = "";
    if (name && reference_parse(name, &reference, NULL) == 0) {
        reference_format_familiar_repository(&reference, familiar);
        reference_format_repository(&reference, repository);
    }
    struct reference known_by;
    /* As docker shows what was pulled by its digest, or lost its tag to another. */
    if (!name && image->digest_count && reference_parse(image->digests[0], &known_by, NULL) == 0) {
        reference_format_familiar_repository(&known_by, familiar);
        reference_format_repository(&known_by, repository);
    }
    bool known = image->created > 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Repository",
                     familiar, "Tag", *reference.tag ? reference.tag : "<none>", "ID",
                     image_verb_show_id(image->id, command_given(context->line, "no-trunc")).text,
                     "Digest", find_digest(image, repository), "CreatedSince",
                     known ? human_age(image->created, time(NULL)).text : "N/A", "CreatedAt",
                     known ? human_time(image->created).text : "N/A", "Size",
                     human_size((uint64_t)image->size).text, "Containers", "N/A", "SharedSize",
                     "N/A", "UniqueSize", "N/A", "VirtualSize",
                     human_size((uint64_t)image->size).text);
}

/* An argument is a repository, or with its tag one name; it may have wildcards. */
static bool is_asked_for(const struct cli_context *context, const char *name)
{
    const struct command_line *line = context->line;
    if (line->argument_count == 0)
        return true;
    const char *filters[1];
    scope_free char *text = memory_format("reference=%s", line->arguments[0]);
    filters[0] = text;
    const struct image_filter filter = {.filters = filters, .count = 1};
    const struct image none = {0};
    return name && image_filter_passes(&filter, &none, name);
}

static void add_rows(const struct cli_context *context, const struct image_filter *filter,
                     const struct image *image, json_t *rows)
{
    for (size_t i = 0; i < image->name_count; i++)
        if (is_asked_for(context, image->names[i]) &&
            image_filter_passes(filter, image, image->names[i]))
            json_array_append_new(rows, make_row(context, image, image->names[i]));
    if (image->name_count == 0 && is_asked_for(context, NULL) &&
        image_filter_passes(filter, image, NULL))
        json_array_append_new(rows, make_row(context, image, NULL));
}

static int print_images(struct cli_context *context, struct image_store *store, struct error *err)
{
    struct command_line *line = context->line;
    scope_image_list struct image_list list = {0};
    struct image_filter filter = {.store = store};
    filter.count = command_values(line, "filter", &filter.filters);
    if (image_filter_check(&filter, "dangling label label! reference before since until", err) <
            0 ||
        image_list(store, &list, err) < 0)
        return -1;
    json_t *rows = json_array();
    for (size_t i = 0; i < list.count; i++)
        add_rows(context, &filter, &list.images[i], rows);
    int status = 0;
    if (command_given(line, "quiet"))
        table_print_field(rows, "ID", stdout);
    else
        status = table_print(command_given(line, "digests") ? columns_with_digests : columns, rows,
                             command_value(line, "format"), !command_given(line, "no-trunc"),
                             stdout, err);
    json_decref(rows);
    return status;
}

static int run_images(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, print_images, err);
}

const struct cli_verb cli_images = {
    .command = {.name = "images",
                .aliases = "image ls,image list",
                .arguments = "[REPOSITORY[:TAG]]",
                .summary = "list images",
                .flags = flags,
                .max_arguments = 1},
    .run = run_images,
};
