/* A container as a line of the table. */
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/timestamp.h"
#include "cli/engine_verb.h"
#include "cli/human.h"
#include "cli/ps.h"

#define COMMAND_WIDTH 20
#define MOUNT_WIDTH 15

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* At most width characters (0: all); the last is then an ellipsis. */
static char *cut(const char *text, size_t width)
{
    size_t bytes = 0, characters = 0, room = 0;
    for (; text[bytes]; bytes++) {
        if (((unsigned char)text[bytes] & 0xc0) == 0x80)
            continue;
        if (++characters == width)
            room = bytes;
        if (width && characters > width)
            return memory_format("%.*s…", (int)room, text);
    }
    return memory_copy_string(text);
}

/* In quotation marks, as Go's %q. */
static char *quote(const char *text)
{
    static const char special[] = "\a\b\t\n\v\f\r\"\\", letters[] = "abtnvfr\"\\";
    char *result = memory_allocate(1, 4 * strlen(text) + 3), *to = result;
    *to++ = '"';
    for (; *text; text++) {
        const char *found = strchr(special, *text);
        if (found)
            to += sprintf(to, "\\%c", letters[found - special]);
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            to += sprintf(to, "\\x%02x", (unsigned char)*text);
        else
            *to++ = *text;
    }
    *to++ = '"';
    *to = '\0';
    return result;
}

static char *describe_command(const json_t *document, bool whole)
{
    size_t i;
    const json_t *argument;
    scope_free char *text = memory_copy_string(member(document, "Path"));
    json_array_foreach(json_object_get(document, "Args"), i, argument)
    {
        char *longer = memory_format("%s %s", text, json_string_value(argument));
        free(text);
        text = longer;
    }
    scope_free char *shown = cut(text, whole ? 0 : COMMAND_WIDTH);
    return quote(shown);
}

/* Words with commas in between. */
static void append(char **list, const char *word)
{
    char *longer = memory_format("%s%s%s", *list, **list ? "," : "", word);
    free(*list);
    *list = longer;
}

static char *list_labels(const json_t *labels)
{
    char *list = memory_copy_string("");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        scope_free char *word = memory_format("%s=%s", key, json_string_value(value));
        append(&list, word);
    }
    return list;
}

static char *list_keys(const json_t *object)
{
    char *list = memory_copy_string("");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) append(&list, key);
    return list;
}

static char *list_mounts(const json_t *mounts, bool whole, size_t *volumes)
{
    char *list = memory_copy_string("");
    const json_t *mount;
    size_t i;
    *volumes = 0;
    json_array_foreach(mounts, i, mount)
    {
        const char *name = member(mount, "Name");
        scope_free char *word =
            cut(*name ? name : member(mount, "Source"), whole ? 0 : MOUNT_WIDTH);
        *volumes += strcmp(member(mount, "Type"), "volume") == 0;
        if (*word)
            append(&list, word);
    }
    return list;
}

static char *describe_size(const json_t *document)
{
    int64_t own = json_integer_value(json_object_get(document, "SizeRw"));
    int64_t all = json_integer_value(json_object_get(document, "SizeRootFs"));
    return all > 0 ? memory_format("%s (virtual %s)", human_size((uint64_t)own).text,
                                   human_size((uint64_t)all).text)
                   : memory_copy_string(human_size((uint64_t)own).text);
}

static void set_text(json_t *row, const char *key, const char *text)
{
    json_object_set_new(row, key, json_string(text));
}

static void set_made(json_t *row, const char *key, char *text)
{
    set_text(row, key, text);
    free(text);
}

json_t *ps_make_row(const json_t *document, bool whole, bool with_size)
{
    const json_t *config = json_object_get(document, "Config");
    const json_t *state = json_object_get(document, "State");
    const json_t *network = json_object_get(document, "NetworkSettings");
    json_t *labels = json_object_get(config, "Labels"), *row = json_object();
    int64_t created = 0, now = timestamp_now();
    size_t volumes;
    timestamp_read(member(document, "Created"), &created);
    time_t then = (time_t)(created / TIMESTAMP_SECOND);
    const char *name = member(document, "Name");
    set_text(row, "ID", engine_verb_show_id(member(document, "Id"), whole).text);
    set_text(row, "Image", member(config, "Image"));
    set_made(row, "Command", describe_command(document, whole));
    set_text(row, "CreatedAt", human_time(then).text);
    set_text(row, "RunningFor", human_age(then, (time_t)(now / TIMESTAMP_SECOND)).text);
    set_made(row, "Ports", ps_format_ports(json_object_get(network, "Ports")));
    set_text(row, "State", member(state, "Status"));
    set_made(row, "Status", ps_format_status(state, now));
    set_made(row, "Size", with_size ? describe_size(document) : memory_copy_string("0B"));
    set_text(row, "Names", name + (*name == '/'));
    set_made(row, "Labels", list_labels(labels));
    set_made(row, "Mounts", list_mounts(json_object_get(document, "Mounts"), whole, &volumes));
    set_made(row, "LocalVolumes", memory_format("%zu", volumes));
    set_made(row, "Networks", list_keys(json_object_get(network, "Networks")));
    json_object_set_new(row, "Label", labels ? json_deep_copy(labels) : json_object());
    return row;
}
