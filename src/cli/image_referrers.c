#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/human.h"
#include "cli/image_verb.h"
#include "cli/table.h"
#include "image/registry.h"

#define CREATED "org.opencontainers.image.created"

static const struct command_flag flags[] = {
    {.name = "artifact-type", .argument = "TYPE", .help = "only referrers of this type"},
    {.name = "format", .argument = "TEMPLATE", .help = "print table, json or a Go template"},
    {.name = "local", .help = "ask no registry: only what is here"},
    {.name = "no-trunc", .help = "don't cut types"},
    {.name = "platform",
     .argument = "OS/ARCHITECTURE",
     .help = "of an image for several platforms, what refers to that for this one"},
    {.name = "quiet", .letter = 'q', .help = "print only digests"},
    {0},
};

static const struct table_column columns[] = {
    {"Digest", "DIGEST", false, false},          {"ArtifactType", "ARTIFACT TYPE", true, false},
    {"CreatedSince", "CREATED", false, false},   {"Size", "SIZE", false, false},
    {"CreatedAt", "CREATED AT", false, true},    {"MediaType", "MEDIA TYPE", false, true},
    {"Annotations", "ANNOTATIONS", false, true}, {0},
};

/* What a registry sent is one line and moves no cursor, in templates too. */
static json_t *clean_text(const char *text)
{
    scope_free char *copy = memory_copy_string(text);
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return json_string(copy);
}

static json_t *clean_annotations(json_t *annotations)
{
    json_t *cleaned = json_object(), *value;
    const char *key;
    json_object_foreach(annotations, key, value)
    {
        json_auto_t *name = clean_text(key);
        json_object_set_new(cleaned, json_string_value(name), clean_text(json_string_value(value)));
    }
    return cleaned;
}

static json_t *make_row(const struct referrer *referrer)
{
    int64_t created = 0;
    const char *said = json_string_value(json_object_get(referrer->annotations, CREATED));
    bool known = said && timestamp_read(said, &created);
    time_t when = (time_t)(created / TIMESTAMP_SECOND);
    const char *type = *referrer->artifact_type ? referrer->artifact_type : "<none>";
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "Digest", referrer->digest,
                     "ArtifactType", type, "MediaType", referrer->media_type, "Size",
                     human_size((uint64_t)referrer->size).text, "CreatedSince",
                     known ? human_age(when, time(NULL)).text : "N/A", "CreatedAt",
                     known ? human_time(when).text : "N/A", "Annotations",
                     clean_annotations(referrer->annotations));
}

static int print_referrers(struct cli_context *context, const struct referrers *referrers,
                           struct error *err)
{
    const struct command_line *line = context->line;
    json_auto_t *rows = json_array();
    for (size_t i = 0; i < referrers->count; i++)
        json_array_append_new(rows, make_row(&referrers->items[i]));
    if (!command_given(line, "quiet"))
        return table_print(columns, rows, command_value(line, "format"),
                           !command_given(line, "no-trunc"), stdout, err);
    table_print_field(rows, "Digest", stdout);
    return 0;
}

/* Whether the image was found by its id, which no registry knows. */
static bool is_id(const struct image *image, const char *text)
{
    struct reference reference;
    char name[REFERENCE_TEXT_SIZE];
    const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    if (strncmp(image->id + strlen("sha256:"), digits, strlen(digits)) != 0)
        return false;
    if (reference_parse(text, &reference, NULL) < 0)
        return true;
    reference_default_tag(&reference);
    reference_format(&reference, name);
    for (size_t i = 0; i < image->name_count; i++)
        if (strcmp(image->names[i], name) == 0)
            return false;
    return true;
}

/* What the registry is asked for: an id means what it was pulled from or pushed to. */
static int find_name(struct image_store *store, const char *text, char name[REFERENCE_TEXT_SIZE],
                     struct error *err)
{
    scope_image struct image image = {0};
    int found = image_find(store, text, &image, err);
    if (found < 0)
        return -1;
    bool by_id = found == 1 && is_id(&image, text);
    if (by_id && image.digest_count == 0)
        return error_set(err, 0,
                         "image %s was neither pulled nor pushed, so no registry is known to have "
                         "it (name one, or give --local)",
                         text);
    snprintf(name, REFERENCE_TEXT_SIZE, "%s", by_id ? image.digests[0] : text);
    return 0;
}

static int list_here(struct cli_context *context, struct image_store *store,
                     struct referrers *referrers, struct error *err)
{
    const struct command_line *line = context->line;
    scope_image struct image image = {0};
    if (command_given(line, "platform"))
        return error_set(err, 0,
                         "an image here is for one platform: --platform doesn't go with "
                         "--local");
    if (image_verb_find(store, line->arguments[0], &image, err) < 0)
        return -1;
    return image_referrers(store, &image, command_value(line, "artifact-type"), referrers, err);
}

static int list(struct cli_context *context, struct image_store *store, struct error *err)
{
    const struct command_line *line = context->line;
    const char *platform_text = command_value(line, "platform");
    scope_referrers struct referrers referrers = {0};
    struct platform platform;
    char name[REFERENCE_TEXT_SIZE];
    int status;
    if (platform_text && platform_parse(platform_text, &platform, err) < 0)
        return -1;
    const struct registry_referrers_options options = {
        .artifact_type = command_value(line, "artifact-type"),
        .platform = platform_text ? &platform : NULL,
        .warnings = context->warnings,
    };
    if (command_given(line, "local"))
        status = list_here(context, store, &referrers, err);
    else
        status = find_name(store, line->arguments[0], name, err) < 0
                     ? -1
                     : registry_referrers(name, &options, &referrers, err);
    return status < 0 ? -1 : print_referrers(context, &referrers, err);
}

static int run_image_referrers(struct cli_context *context, struct error *err)
{
    return image_verb_run(context, list, err);
}

const struct cli_verb cli_image_referrers = {
    .command = {.name = "image referrers",
                .arguments = "NAME[:TAG|@DIGEST]|ID",
                .summary = "list what refers to an image: signatures, bills of materials",
                .description = "The registry is asked, for what it has under the name now; for an "
                               "image that is given by its id, where that was pulled from or "
                               "pushed to. SIZE is that of the referrer's manifest, CREATED what "
                               "its annotations say. With --local, the images here that refer to "
                               "the image.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_image_referrers,
};
