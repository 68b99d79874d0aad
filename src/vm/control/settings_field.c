#include "vm/control/settings_field.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "vm/control/settings.h"

#define MAX_LIST VM_MAX_DEVICES
#define MAX_STRING 65536

static int append(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts more behind what *err says; always returns -1. */
static int append(struct error *err, const char *format, ...)
{
    size_t length = err ? strlen(err->text) : 0;
    va_list args;
    va_start(args, format);
    if (err)
        vsnprintf(err->text + length, sizeof err->text - length, format, args);
    va_end(args);
    return -1;
}

static int in_field(struct error *err, const char *name)
{
    return append(err, " in `%.64s`", name);
}

/* What the value is, for "invalid type: …". */
static void describe(const json_t *value, char text[128])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(text, 128, "map");
        break;
    case JSON_ARRAY:
        snprintf(text, 128, "sequence");
        break;
    case JSON_STRING:
        snprintf(text, 128, "string \"%.64s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(text, 128, "integer `%lld`", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(text, 128, "floating point `%.17g`", json_real_value(value));
        break;
    case JSON_NULL:
        snprintf(text, 128, "null");
        break;
    default:
        snprintf(text, 128, "boolean `%s`", json_is_true(value) ? "true" : "false");
    }
}

static int fail_type(const json_t *value, const char *expected, struct error *err)
{
    char text[128];
    describe(value, text);
    return error_set(err, 0, "invalid type: %s, expected %s", text, expected);
}

static int fail_value(const json_t *value, const char *expected, struct error *err)
{
    char text[128];
    describe(value, text);
    return error_set(err, 0, "invalid value: %s, expected %s", text, expected);
}

/* ", expected `a` or `b`", or "one of …" for more. */
static int append_expected(struct error *err, size_t count,
                           const char *(*name)(const void *list, size_t index), const void *list)
{
    append(err, count > 2 ? ", expected one of " : ", expected ");
    for (size_t i = 0; i < count; i++)
        append(err, "%s`%s`", i == 0 ? "" : count > 2 ? ", " : " or ", name(list, i));
    return -1;
}

static const char *choice_name(const void *list, size_t index)
{
    return ((const char *const *)list)[index];
}

static const char *field_name(const void *list, size_t index)
{
    return ((const struct settings_field *)list)[index].name;
}

static int fail_unknown(const struct settings_object *object, const char *key, struct error *err)
{
    size_t count = 0;
    while (object->fields[count].name)
        count++;
    error_set(err, 0, "unknown field `%.64s`", key);
    return append_expected(err, count, field_name, object->fields);
}

static int read_choice(const struct settings_field *field, const json_t *value, void *at,
                       struct error *err)
{
    int count = 0;
    if (!json_is_string(value))
        return fail_type(value, "a string", err);
    const char *text = json_string_value(value);
    for (; field->choices[count]; count++) {
        if ((field->any_case ? strcasecmp : strcmp)(field->choices[count], text) == 0) {
            *(int *)at = count;
            return 0;
        }
    }
    error_set(err, 0, "unknown variant `%.64s`", text);
    return append_expected(err, (size_t)count, choice_name, field->choices);
}

static int read_integer(enum settings_kind kind, const json_t *value, void *at, struct error *err)
{
    const char *expected = kind == SETTINGS_U32 ? "u32" : "u64";
    if (!json_is_integer(value))
        return fail_type(value, expected, err);
    json_int_t number = json_integer_value(value);
    if (number < 0 || (kind == SETTINGS_U32 && number > UINT32_MAX))
        return fail_value(value, expected, err);
    if (kind == SETTINGS_U32)
        *(uint32_t *)at = (uint32_t)number;
    else
        *(uint64_t *)at = (uint64_t)number;
    return 0;
}

static int read_string(const json_t *value, char **at, struct error *err)
{
    if (!json_is_string(value))
        return fail_type(value, "a string", err);
    if (json_string_length(value) > MAX_STRING)
        return error_set(err, 0, "invalid length %zu, expected at most %d bytes",
                         json_string_length(value), MAX_STRING);
    free(*at);
    *at = memory_copy_string(json_string_value(value));
    return 0;
}

static int read_mac(const json_t *value, struct mac_address *mac, struct error *err)
{
    if (!json_is_string(value))
        return fail_type(value, "a string", err);
    unsigned bytes[6];
    int end = 0;
    const char *text = json_string_value(value);
    if (strlen(text) != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
               &bytes[4], &bytes[5], &end) != 6 ||
        end != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17)
        return fail_value(value, "a MAC address such as 06:00:00:00:00:01", err);
    for (int i = 0; i < 6; i++)
        mac->bytes[i] = (uint8_t)bytes[i];
    mac->given = true;
    return 0;
}

static int read_address(const json_t *value, struct in_addr *address, struct error *err)
{
    if (!json_is_string(value))
        return fail_type(value, "a string", err);
    return inet_pton(AF_INET, json_string_value(value), address) == 1
               ? 0
               : fail_value(value, "an IPv4 address", err);
}

static int read_strings(const json_t *value, char ***items, size_t *count, struct error *err)
{
    size_t index;
    json_t *item;
    if (!json_is_array(value))
        return fail_type(value, "a sequence", err);
    if (json_array_size(value) > MAX_LIST)
        return error_set(err, 0, "invalid length %zu, expected at most %d elements",
                         json_array_size(value), MAX_LIST);
    *items = memory_allocate(json_array_size(value) + 1, sizeof **items);
    json_array_foreach(value, index, item)
    {
        if (read_string(item, &(*items)[index], err) < 0)
            return -1;
        *count = index + 1;
    }
    return 0;
}

static int read_list(const struct settings_field *field, const json_t *value, char *base,
                     struct error *err)
{
    size_t index, *count = (size_t *)(void *)(base + field->count_offset);
    json_t *item;
    if (!json_is_array(value))
        return fail_type(value, "a sequence", err);
    if (json_array_size(value) > MAX_LIST)
        return error_set(err, 0, "invalid length %zu, expected at most %d elements",
                         json_array_size(value), MAX_LIST);
    char *items = memory_allocate(json_array_size(value) + 1, field->object->size);
    memcpy(base + field->offset, &items, sizeof items);
    json_array_foreach(value, index, item)
    {
        char *slot = items + index * field->object->size;
        settings_set_defaults(field->object, slot);
        *count = index + 1;
        if (settings_read(field->object, item, false, slot, err) < 0)
            return append(err, " in element %zu", index);
    }
    return 0;
}

static int read_field(const struct settings_field *field, const json_t *value, char *base,
                      struct error *err)
{
    void *at = base + field->offset;
    if (field->flag_offset)
        *(bool *)(base + field->flag_offset) = true;
    switch (field->kind) {
    case SETTINGS_STRING:
        return read_string(value, at, err);
    case SETTINGS_BOOLEAN:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value) ? 0 : fail_type(value, "a boolean", err);
    case SETTINGS_U32:
    case SETTINGS_U64:
        return read_integer(field->kind, value, at, err);
    case SETTINGS_CHOICE:
        return read_choice(field, value, at, err);
    case SETTINGS_OBJECT:
        settings_set_defaults(field->object, at);
        *(bool *)at = true;
        return settings_read(field->object, value, false, at, err) < 0 ? in_field(err, field->name)
                                                                       : 0;
    case SETTINGS_LIST:
        return read_list(field, value, base, err) < 0 ? in_field(err, field->name) : 0;
    case SETTINGS_STRINGS:
        return read_strings(value, at, (size_t *)(void *)(base + field->count_offset), err);
    case SETTINGS_MAC:
        return read_mac(value, at, err);
    case SETTINGS_ADDRESS:
        return read_address(value, at, err);
    case SETTINGS_CPU:
        return cpu_settings_read(at, value, err) < 0 ? in_field(err, field->name) : 0;
    }
    return -1;
}

static bool is_known(const struct settings_object *object, const char *key)
{
    for (const struct settings_field *field = object->fields; field->name; field++) {
        if (strcmp(field->name, key) == 0)
            return true;
    }
    return false;
}

int settings_read(const struct settings_object *object, const json_t *json, bool partial, void *out,
                  struct error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json)) {
        char expected[96];
        snprintf(expected, sizeof expected, "struct %s", object->name);
        return fail_type(json, expected, err);
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (!is_known(object, key))
            return fail_unknown(object, key, err);
    }
    for (const struct settings_field *field = object->fields; field->name; field++) {
        value = json_object_get(json, field->name);
        if (!value && field->required && !partial)
            return error_set(err, 0, "missing field `%s`", field->name);
        if (!value || (json_is_null(value) && !field->required))
            continue;
        if (read_field(field, value, out, err) < 0)
            return -1;
    }
    return 0;
}

void settings_set_defaults(const struct settings_object *object, void *out)
{
    if (object->defaults)
        memcpy(out, object->defaults, object->size);
    else
        memset(out, 0, object->size);
}

/* ---- printing ---- */

static json_t *print_list(const struct settings_field *field, const char *base)
{
    size_t count = *(const size_t *)(const void *)(base + field->count_offset);
    const char *items;
    json_t *list = json_array();
    memcpy(&items, base + field->offset, sizeof items);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, settings_print(field->object, items + i * field->object->size));
    return list;
}

static json_t *print_strings(const struct settings_field *field, const char *base)
{
    size_t count = *(const size_t *)(const void *)(base + field->count_offset);
    char *const *items = *(char *const *const *)(const void *)(base + field->offset);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

static json_t *print_mac(const struct mac_address *mac)
{
    return mac->given ? json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac->bytes[0], mac->bytes[1],
                                     mac->bytes[2], mac->bytes[3], mac->bytes[4], mac->bytes[5])
                      : NULL;
}

static json_t *print_address(const struct in_addr *address)
{
    char text[INET_ADDRSTRLEN];
    return json_string(inet_ntop(AF_INET, address, text, sizeof text));
}

/* NULL: there is none. */
static json_t *print_number(const struct settings_field *field, uint64_t number)
{
    return number == 0 && (field->nullable || field->hidden) ? NULL
                                                             : json_integer((json_int_t)number);
}

static json_t *print_field(const struct settings_field *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->kind) {
    case SETTINGS_STRING:
        return json_string(*(const char *const *)at); /* NULL for NULL */
    case SETTINGS_BOOLEAN:
        return field->hidden && !*(const bool *)at ? NULL : json_boolean(*(const bool *)at);
    case SETTINGS_U32:
        return print_number(field, *(const uint32_t *)at);
    case SETTINGS_U64:
        return print_number(field, *(const uint64_t *)at);
    case SETTINGS_CHOICE:
        return field->hidden && *(const int *)at == 0
                   ? NULL
                   : json_string(field->choices[*(const int *)at]);
    case SETTINGS_OBJECT:
        return *(const bool *)at ? settings_print(field->object, at) : NULL;
    case SETTINGS_LIST:
        if (field->hidden && *(const size_t *)(const void *)(base + field->count_offset) == 0)
            return NULL;
        return print_list(field, base);
    case SETTINGS_STRINGS:
        return print_strings(field, base);
    case SETTINGS_MAC:
        return print_mac(at);
    case SETTINGS_ADDRESS:
        return print_address(at);
    case SETTINGS_CPU:
        return json_incref(((const struct cpu_settings *)at)->document);
    }
    return NULL;
}

json_t *settings_print(const struct settings_object *object, const void *from)
{
    json_t *json = json_object();
    for (const struct settings_field *field = object->fields; field->name; field++) {
        json_t *value = print_field(field, from);
        if (value || !field->hidden)
            json_object_set_new(json, field->name, value ? value : json_null());
    }
    return json;
}

/* ---- freeing ---- */

static void release_list(const struct settings_field *field, char *base)
{
    size_t count = *(size_t *)(void *)(base + field->count_offset);
    char *items;
    memcpy(&items, base + field->offset, sizeof items);
    for (size_t i = 0; i < count; i++)
        settings_release(field->object, items + i * field->object->size);
    free(items);
}

static void release_strings(const struct settings_field *field, char *base)
{
    size_t count = *(size_t *)(void *)(base + field->count_offset);
    char **items = *(char ***)(void *)(base + field->offset);
    for (size_t i = 0; i < count; i++)
        free(items[i]);
    free(items);
}

void settings_release(const struct settings_object *object, void *out)
{
    for (const struct settings_field *field = object->fields; field->name; field++) {
        char *at = (char *)out + field->offset;
        if (field->kind == SETTINGS_STRING)
            free(*(char **)(void *)at);
        else if (field->kind == SETTINGS_OBJECT)
            settings_release(field->object, at);
        else if (field->kind == SETTINGS_LIST)
            release_list(field, out);
        else if (field->kind == SETTINGS_STRINGS)
            release_strings(field, out);
        else if (field->kind == SETTINGS_CPU)
            cpu_settings_release((struct cpu_settings *)(void *)at);
    }
    memset(out, 0, object->size);
}

json_t *settings_parse(const char *text, size_t length, struct error *err)
{
    json_error_t where;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!json && json_error_code(&where) == json_error_numeric_overflow)
        error_set(err, 0,
                  "invalid type: floating point, expected a number below 2^63 at line %d "
                  "column %d",
                  where.line, where.column);
    else if (!json)
        error_set(err, 0, "%.200s at line %d column %d", where.text, where.line, where.column);
    return json;
}
