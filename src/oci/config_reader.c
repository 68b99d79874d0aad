#include "oci/config_reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longer lists of allowed values don't help on one line. */
#define MOST_CHOICES_LISTED 9

/* ---- putting the path into words ---- */

static bool is_plain_key(const char *key)
{
    size_t length = 0;
    for (; key[length]; length++) {
        if (!isalnum((unsigned char)key[length]) && key[length] != '_')
            return false;
    }
    return length > 0 && length <= 32;
}

static size_t write_path(const struct config_node *node, char *path, size_t size)
{
    if (!node->parent)
        return 0;
    size_t used = write_path(node->parent, path, size);
    int length;
    if (!node->key)
        length = snprintf(path + used, size - used, "[%zu]", node->index);
    else if (is_plain_key(node->key))
        length = snprintf(path + used, size - used, "%s%s", used ? "." : "", node->key);
    else
        length = snprintf(path + used, size - used, "[%s]", config_quote(node->key).text);
    used += (size_t)length;
    return used < size ? used : size - 1;
}

static int fail(const struct config_node *node, const char *format, va_list args)
{
    char path[ERROR_TEXT_SIZE / 2] = "the document";
    char reason[ERROR_TEXT_SIZE / 2];
    write_path(node, path, sizeof path);
    vsnprintf(reason, sizeof reason, format, args);
    return error_set(node->reader->err, 0, "%s: %s", path, reason);
}

int config_fail(const struct config_node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(node, format, args);
    va_end(args);
    return -1;
}

int config_fail_member(const struct config_node *from, const char *key, const char *format, ...)
{
    struct config_node member = {from->reader, from, key, 0, NULL};
    va_list args;
    va_start(args, format);
    fail(&member, format, args);
    va_end(args);
    return -1;
}

int config_fail_element(const struct config_node *from, const char *key, size_t index,
                        const char *format, ...)
{
    struct config_node array = {from->reader, from, key, 0, NULL};
    struct config_node element = {from->reader, &array, NULL, index, NULL};
    va_list args;
    va_start(args, format);
    fail(&element, format, args);
    va_end(args);
    return -1;
}

/* Bytes from 0x80 on are left alone: jansson lets only UTF-8 through. */
struct config_quoted config_quote(const char *text)
{
    static const char ending[] = "...'";
    struct config_quoted quoted = {"'"};
    size_t used = 1;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        bool escape = byte < ' ' || byte == 0x7f;
        if (used + (escape ? 4 : 1) + sizeof ending > sizeof quoted.text) {
            while ((quoted.text[used - 1] & 0xc0) == 0x80)
                used--; /* no half character: first its continuation bytes … */
            if (quoted.text[used - 1] & 0x80)
                used--; /* … then its first one */
            memcpy(quoted.text + used, ending, sizeof ending);
            return quoted;
        }
        if (escape)
            used += (size_t)sprintf(quoted.text + used, "\\x%02x", byte);
        else
            quoted.text[used++] = (char)byte;
    }
    quoted.text[used] = '\'';
    return quoted;
}

int config_require(int found, const struct config_node *from, const char *key)
{
    return found ? found : config_fail_member(from, key, "required, but missing");
}

/* ---- types ---- */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static const struct config_big_integer *find_big_integer(const struct config_node *node)
{
    if (!json_is_real(node->value))
        return NULL;
    /* Without a table the reals are the text's own, with one they are 0.0 or ours. */
    double number = json_real_value(node->value);
    if (number < 1 || number >= (double)node->reader->big_integer_count + 1)
        return NULL;
    return &node->reader->big_integers[(size_t)number - 1];
}

static int fail_type(const struct config_node *node, const char *expected)
{
    return config_fail(node, "expected %s, found %s", expected,
                       find_big_integer(node) ? "an integer" : type_name(node->value));
}

int config_expect_object(const struct config_node *node)
{
    return json_is_object(node->value) ? 0 : fail_type(node, "an object");
}

static bool find_member(const struct config_node *from, const char *key, struct config_node *member)
{
    *member = (struct config_node){from->reader, from, key, 0, json_object_get(from->value, key)};
    return member->value && !json_is_null(member->value);
}

int config_read_object(const struct config_node *from, const char *key, struct config_node *out)
{
    if (!find_member(from, key, out))
        return 0;
    return config_expect_object(out) < 0 ? -1 : 1;
}

int config_read_array(const struct config_node *from, const char *key, struct config_node *out)
{
    if (!find_member(from, key, out))
        return 0;
    return json_is_array(out->value) ? 1 : fail_type(out, "an array");
}

struct config_node config_element(const struct config_node *array, size_t index)
{
    return (struct config_node){array->reader, array, NULL, index,
                                json_array_get(array->value, index)};
}

/* ---- strings ---- */

int config_get_string(const struct config_node *node, const char **out)
{
    if (!json_is_string(node->value))
        return fail_type(node, "a string");
    const char *text = json_string_value(node->value);
    if (strlen(text) != json_string_length(node->value))
        return config_fail(node, "the string holds a NUL character");
    *out = text;
    return 1;
}

int config_read_string(const struct config_node *from, const char *key, const char **out)
{
    struct config_node member;
    return find_member(from, key, &member) ? config_get_string(&member, out) : 0;
}

int config_read_text(const struct config_node *from, const char *key, const char **out)
{
    const char *text = "";
    int found = config_read_string(from, key, &text);
    if (found <= 0)
        return found;
    if (!*text)
        return 0;
    *out = text;
    return 1;
}

int config_read_absolute_path(const struct config_node *from, const char *key, const char **out)
{
    int found = config_read_text(from, key, out);
    if (found > 0 && **out != '/')
        return config_fail_member(from, key, "%s is not an absolute path", config_quote(*out).text);
    return found;
}

int config_read_strings(const struct config_node *from, const char *key, struct config_strings *out)
{
    struct config_node array;
    int found = config_read_array(from, key, &array);
    if (found <= 0)
        return found;
    out->count = json_array_size(array.value);
    out->items = arena_allocate(from->reader->arena, out->count + 1, sizeof *out->items);
    for (size_t i = 0; i < out->count; i++) {
        struct config_node element = config_element(&array, i);
        if (config_get_string(&element, &out->items[i]) < 0)
            return -1;
    }
    return 1;
}

int config_read_pairs(const struct config_node *from, const char *key, struct config_pairs *out)
{
    struct config_node object;
    int found = config_read_object(from, key, &object);
    if (found <= 0)
        return found;
    out->items =
        arena_allocate(from->reader->arena, json_object_size(object.value), sizeof *out->items);
    for (void *i = json_object_iter(object.value); i; i = json_object_iter_next(object.value, i)) {
        struct config_pair *pair = &out->items[out->count++];
        pair->key = json_object_iter_key(i);
        struct config_node value = {from->reader, &object, pair->key, 0, json_object_iter_value(i)};
        if (config_get_string(&value, &pair->value) < 0)
            return -1;
    }
    return 1;
}

int config_get_choice(const struct config_node *node, const struct config_choices *choices,
                      const struct config_choice **out)
{
    const char *name = "";
    if (config_get_string(node, &name) < 0)
        return -1;
    for (size_t i = 0; i < choices->count; i++) {
        if (strcmp(name, choices->items[i].name) == 0) {
            *out = &choices->items[i];
            return 1;
        }
    }
    char allowed[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < choices->count && choices->count <= MOST_CHOICES_LISTED; i++) {
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s",
                                 i ? ", " : "; expected one of ", choices->items[i].name);
        if (used >= sizeof allowed)
            break;
    }
    return config_fail(node, "unknown value %s%s", config_quote(name).text, allowed);
}

int config_read_choice(const struct config_node *from, const char *key,
                       const struct config_choices *choices, const struct config_choice **out)
{
    struct config_node member;
    return find_member(from, key, &member) ? config_get_choice(&member, choices, out) : 0;
}

/* ---- booleans and integers ---- */

int config_read_bool(const struct config_node *from, const char *key, bool *out)
{
    struct config_node member;
    if (!find_member(from, key, &member))
        return 0;
    if (!json_is_boolean(member.value))
        return fail_type(&member, "a boolean");
    *out = json_is_true(member.value);
    return 1;
}

/* *out is the value in two's complement. */
static int get_integer(const struct config_node *node, int64_t minimum, uint64_t maximum,
                       uint64_t *out)
{
    char found[24] = "the number";
    if (json_is_integer(node->value)) {
        int64_t value = json_integer_value(node->value);
        if (value >= minimum && (value < 0 || (uint64_t)value <= maximum)) {
            *out = (uint64_t)value;
            return 1;
        }
        snprintf(found, sizeof found, "%lld", (long long)value);
    } else {
        const struct config_big_integer *big = find_big_integer(node);
        if (!big)
            return fail_type(node, "an integer");
        if (big->fits && big->value <= maximum) {
            *out = big->value;
            return 1;
        }
        if (big->fits)
            snprintf(found, sizeof found, "%llu", (unsigned long long)big->value);
    }
    return config_fail(node, "%s is out of range (%lld to %llu)", found, (long long)minimum,
                       (unsigned long long)maximum);
}

int config_read_int64(const struct config_node *from, const char *key, int64_t minimum,
                      int64_t maximum, int64_t *out)
{
    struct config_node member;
    uint64_t value = 0;
    if (!find_member(from, key, &member))
        return 0;
    if (get_integer(&member, minimum, (uint64_t)maximum, &value) < 0)
        return -1;
    *out = (int64_t)value;
    return 1;
}

int config_read_number(const struct config_node *from, const char *key, int64_t minimum,
                       int64_t maximum, struct config_number *out)
{
    int found = config_read_int64(from, key, minimum, maximum, &out->value);
    out->given = out->given || found > 0;
    return found;
}

int config_read_uint32(const struct config_node *from, const char *key, uint32_t maximum,
                       uint32_t *out)
{
    struct config_node member;
    uint64_t value = 0;
    if (!find_member(from, key, &member))
        return 0;
    if (get_integer(&member, 0, maximum, &value) < 0)
        return -1;
    *out = (uint32_t)value;
    return 1;
}

int config_read_uint64(const struct config_node *from, const char *key, uint64_t *out)
{
    struct config_node member;
    return find_member(from, key, &member) ? get_integer(&member, 0, UINT64_MAX, out) : 0;
}

int config_get_uint32(const struct config_node *node, uint32_t *out)
{
    uint64_t value = 0;
    if (get_integer(node, 0, UINT32_MAX, &value) < 0)
        return -1;
    *out = (uint32_t)value;
    return 1;
}

/* ---- arrays of objects ---- */

int config_read_list(const struct config_node *from, const char *key, size_t size,
                     int (*convert)(const struct config_node *item, void *slot), void *items_out,
                     size_t *count)
{
    struct config_node array;
    int found = config_read_array(from, key, &array);
    if (found <= 0)
        return found;
    *count = json_array_size(array.value);
    char *items = arena_allocate(from->reader->arena, *count, size);
    memcpy(items_out, &items, sizeof items);
    for (size_t i = 0; i < *count; i++) {
        struct config_node item = config_element(&array, i);
        if (config_expect_object(&item) < 0 || convert(&item, items + i * size) < 0)
            return -1;
    }
    return 1;
}
