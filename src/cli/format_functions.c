#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "cli/format_internal.h"

#define FAIL(call, ...)                                                                            \
    format_fail((call)->format->text, (call)->position, (call)->err, __VA_ARGS__)

#define NO_VALUE "<no value>"

/* Printing */

int format_compare_keys(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void print_object(json_t *object, FILE *out)
{
    size_t count = json_object_size(object), filled = 0;
    scope_free const char **keys = memory_allocate(count, sizeof *keys);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) keys[filled++] = key;
    qsort(keys, count, sizeof *keys, format_compare_keys);
    fputs("map[", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s%s:", i ? " " : "", keys[i]);
        format_print_value(json_object_get(object, keys[i]), out);
    }
    fputc(']', out);
}

/* Go's %v: the shortest digits that read back as the same number. */
static void print_real(double value, FILE *out)
{
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, out);
}

/* Recursion is as deep as the value, which jansson bounds when it reads one. */
void format_print_value(const json_t *value, FILE *out)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        print_object((json_t *)value, out);
        break;
    case JSON_ARRAY:
        fputc('[', out);
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                fputc(' ', out);
            format_print_value(json_array_get(value, i), out);
        }
        fputc(']', out);
        break;
    case JSON_STRING:
        fwrite(json_string_value(value), 1, json_string_length(value), out);
        break;
    case JSON_INTEGER:
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        print_real(json_real_value(value), out);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        fputs(json_is_true(value) ? "true" : "false", out);
        break;
    case JSON_NULL:
        fputs(NO_VALUE, out);
        break;
    }
}

/* Arguments */

int format_need_string(const struct format_call *call, size_t index, const char **text)
{
    *text = json_string_value(call->arguments[index]);
    return *text ? 0 : FAIL(call, "argument %zu must be a text", index + 1);
}

int format_need_integer(const struct format_call *call, size_t index, json_int_t minimum,
                        json_int_t maximum, json_int_t *value)
{
    if (!json_is_integer(call->arguments[index]))
        return FAIL(call, "argument %zu must be an integer", index + 1);
    *value = json_integer_value(call->arguments[index]);
    if (*value >= minimum && *value <= maximum)
        return 0;
    return FAIL(call, "%" JSON_INTEGER_FORMAT " is out of range", *value);
}

static int call_json(struct format_call *call, json_t **result)
{
    json_t *value = call->arguments[0], *row = NULL;
    if (value && value == call->root && json_object_get(value, "Label")) {
        row = json_copy(value);
        json_object_del(row, "Label");
        value = row;
    }
    scope_free char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    *result = json_string(text ? text : "null");
    json_decref(row);
    return 0;
}

/* Lists and maps */

static int call_len(struct format_call *call, json_t **result)
{
    const json_t *value = call->arguments[0];
    size_t length = 0;
    if (json_is_string(value))
        length = json_string_length(value);
    else if (json_is_array(value))
        length = json_array_size(value);
    else if (json_is_object(value))
        length = json_object_size(value);
    else if (value && !json_is_null(value))
        return FAIL(call, "len takes a text, list or map");
    *result = json_integer((json_int_t)length);
    return 0;
}

static int call_index(struct format_call *call, json_t **result)
{
    const json_t *value = call->arguments[0];
    json_t *empty = NULL;
    for (size_t i = 1; i < call->count; i++) {
        const json_t *key = call->arguments[i];
        if (json_is_array(value)) {
            json_int_t at;
            json_int_t last = (json_int_t)json_array_size(value) - 1;
            if (format_need_integer(call, i, 0, last, &at) < 0)
                return -1;
            value = json_array_get(value, (size_t)at);
        } else if (json_is_string(key) && (json_is_object(value) || !format_is_true(value))) {
            value = json_object_get(value, json_string_value(key));
            if (!value)
                value = empty = empty ? empty : json_string(""); /* Go's zero of a map's texts */
        } else {
            json_decref(empty);
            return FAIL(call, "argument %zu of index doesn't fit what it is looked up in", i + 1);
        }
    }
    *result = json_incref((json_t *)value);
    json_decref(empty);
    return 0;
}

static int call_slice(struct format_call *call, json_t **result)
{
    const json_t *value = call->arguments[0];
    bool is_text = json_is_string(value);
    if (!is_text && !json_is_array(value))
        return FAIL(call, "slice takes a text or list");
    size_t size = is_text ? json_string_length(value) : json_array_size(value);
    json_int_t from = 0, to = (json_int_t)size;
    if (call->count > 2 && format_need_integer(call, 2, 0, to, &to) < 0)
        return -1;
    if (call->count > 1 && format_need_integer(call, 1, 0, to, &from) < 0)
        return -1;
    if (is_text) {
        *result = json_stringn(json_string_value(value) + from, (size_t)(to - from));
        return *result ? 0 : FAIL(call, "the slice begins or ends within a character");
    }
    *result = json_array();
    for (json_int_t i = from; i < to; i++)
        json_array_append(*result, json_array_get(value, (size_t)i));
    return 0;
}

/* Comparison */

/* *order becomes negative, 0 or positive; -1 if the two can't be compared. */
static int compare(const struct format_call *call, const json_t *left, const json_t *right,
                   bool for_order, int *order)
{
    if (json_is_string(left) && json_is_string(right)) {
        *order = strcmp(json_string_value(left), json_string_value(right));
    } else if (json_is_integer(left) && json_is_integer(right)) {
        json_int_t a = json_integer_value(left), b = json_integer_value(right);
        *order = (a > b) - (a < b);
    } else if (json_is_number(left) && json_is_number(right)) {
        double a = json_number_value(left), b = json_number_value(right);
        *order = (a > b) - (a < b);
    } else if (!for_order && (!left || !right || json_is_null(left) || json_is_null(right))) {
        bool both = (!left || json_is_null(left)) && (!right || json_is_null(right));
        *order = !both;
    } else if (!for_order && json_is_boolean(left) && json_is_boolean(right)) {
        *order = json_is_true(left) != json_is_true(right);
    } else {
        return FAIL(call, "values of these types can't be compared");
    }
    return 0;
}

/* `eq A B C` is whether A is one of B and C. */
static int call_eq(struct format_call *call, json_t **result)
{
    bool equal = false;
    for (size_t i = 1; i < call->count && !equal; i++) {
        int order;
        if (compare(call, call->arguments[0], call->arguments[i], false, &order) < 0)
            return -1;
        equal = order == 0;
    }
    *result = json_boolean(equal);
    return 0;
}

static int call_ne(struct format_call *call, json_t **result)
{
    int order;
    if (compare(call, call->arguments[0], call->arguments[1], false, &order) < 0)
        return -1;
    *result = json_boolean(order != 0);
    return 0;
}

#define ORDER(name, condition)                                                                     \
    static int call_##name(struct format_call *call, json_t **result)                              \
    {                                                                                              \
        int order;                                                                                 \
        if (compare(call, call->arguments[0], call->arguments[1], true, &order) < 0)               \
            return -1;                                                                             \
        *result = json_boolean(order condition 0);                                                 \
        return 0;                                                                                  \
    }
ORDER(lt, <)
ORDER(le, <=)
ORDER(gt, >)
ORDER(ge, >=)

static int call_not(struct format_call *call, json_t **result)
{
    *result = json_boolean(!format_is_true(call->arguments[0]));
    return 0;
}

static const struct format_function functions[] = {
    {"eq", 2, FORMAT_ARGUMENTS, call_eq},
    {"ge", 2, 2, call_ge},
    {"gt", 2, 2, call_gt},
    {"index", 1, FORMAT_ARGUMENTS, call_index},
    {"join", 2, 2, format_call_join},
    {"json", 1, 1, call_json},
    {"le", 2, 2, call_le},
    {"len", 1, 1, call_len},
    {"lower", 1, 1, format_call_lower},
    {"lt", 2, 2, call_lt},
    {"ne", 2, 2, call_ne},
    {"not", 1, 1, call_not},
    {"pad", 3, 3, format_call_pad},
    {"print", 0, FORMAT_ARGUMENTS, format_call_print},
    {"printf", 1, FORMAT_ARGUMENTS, format_call_printf},
    {"println", 0, FORMAT_ARGUMENTS, format_call_println},
    {"slice", 1, 3, call_slice},
    {"split", 2, 2, format_call_split},
    {"title", 1, 1, format_call_title},
    {"truncate", 2, 2, format_call_truncate},
    {"upper", 1, 1, format_call_upper},
};

const struct format_function *format_find_function(const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

bool format_is_function(const char *name)
{
    return strcmp(name, "and") == 0 || strcmp(name, "or") == 0 || format_find_function(name);
}
