#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "cli/format_internal.h"

struct variable {
    const char *name;
    json_t *value; /* a reference; NULL: no value */
    struct variable *outer;
};

struct run {
    const struct format *format;
    const json_t *root;
    FILE *out;
    struct error *err;
    struct variable *variables; /* the innermost first */
    bool in_condition;          /* what is absent counts as empty */
};

enum outcome { FAILED = -1, DONE, BROKEN_OFF, CONTINUED };

static int evaluate_pipeline(struct run *run, const json_t *dot,
                             const struct format_pipeline *pipeline, json_t **result);

#define FAIL(run, position, ...) format_fail((run)->format->text, position, (run)->err, __VA_ARGS__)

bool format_is_true(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return json_real_value(value) != 0;
    case JSON_TRUE:
        return true;
    default:
        return false;
    }
}

/* Fields */

static bool is_capital(const char *name)
{
    return isupper((unsigned char)name[0]);
}

static json_t *find_member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    const char *key;
    json_t *member;
    if (value || !is_capital(name))
        return value;
    json_object_foreach((json_t *)object, key,
                        member) if (strcasecmp(key, name) == 0) return member;
    return NULL;
}

/* Follows the fields from value, which is borrowed as the result is. */
static int look_up(const struct run *run, size_t position, const json_t *value,
                   const struct format_field *fields, const json_t **result)
{
    for (; fields; fields = fields->next) {
        bool is_absent = !value || json_is_null(value);
        bool may_be_absent = run->in_condition || !is_capital(fields->name);
        if (!is_absent && !json_is_object(value))
            return FAIL(run, position, "'.%.64s' is asked of what has no fields", fields->name);
        value = is_absent ? NULL : find_member(value, fields->name);
        if (!value && !may_be_absent)
            return FAIL(run, position,
                        is_absent ? "'.%.64s' is asked of what isn't there"
                                  : "there is no field '.%.64s' (see {{json .}})",
                        fields->name);
    }
    *result = value;
    return 0;
}

static int find_variable(const struct run *run, const struct format_operand *operand,
                         const json_t **value)
{
    if (!*operand->name) {
        *value = run->root;
        return 0;
    }
    for (const struct variable *at = run->variables; at; at = at->outer) {
        if (strcmp(at->name, operand->name) == 0) {
            *value = at->value;
            return 0;
        }
    }
    return FAIL(run, operand->position, "there is no variable '$%.64s'", operand->name);
}

/* Operands and commands */

static int call_function(struct run *run, const json_t *dot, const struct format_operand *function,
                         const struct format_operand *operands, const json_t *piped, bool is_piped,
                         json_t **result);

/* The result is a new reference or NULL. */
static int evaluate_operand(struct run *run, const json_t *dot,
                            const struct format_operand *operand, json_t **result)
{
    json_t *owned = NULL;
    const json_t *value = NULL;
    int status = 0;
    switch (operand->kind) {
    case FORMAT_DOT:
        value = dot;
        break;
    case FORMAT_VARIABLE:
        status = find_variable(run, operand, &value);
        break;
    case FORMAT_LITERAL:
        value = operand->literal;
        break;
    case FORMAT_FUNCTION:
        status = call_function(run, dot, operand, NULL, NULL, false, &owned);
        value = owned;
        break;
    case FORMAT_PARENTHESES:
        status = evaluate_pipeline(run, dot, operand->pipeline, &owned);
        value = owned;
        break;
    }
    if (status == 0)
        status = look_up(run, operand->position, value, operand->fields, &value);
    *result = status == 0 ? json_incref((json_t *)value) : NULL;
    json_decref(owned);
    return status;
}

/* `and` and `or` stop at the first argument that decides. */
static int call_logic(struct run *run, const json_t *dot, const struct format_operand *function,
                      const struct format_operand *operands, const json_t *piped, bool is_piped,
                      json_t **result)
{
    bool decides = function->name[0] == 'o';
    bool in_condition = run->in_condition;
    int status = 0;
    *result = NULL;
    if (!operands && !is_piped)
        return FAIL(run, function->position, "'%s' needs arguments", function->name);
    run->in_condition = true;
    for (; status == 0 && operands; operands = operands->next) {
        json_decref(*result);
        status = evaluate_operand(run, dot, operands, result);
        if (status == 0 && format_is_true(*result) == decides) {
            is_piped = false;
            break;
        }
    }
    run->in_condition = in_condition;
    if (status == 0 && is_piped) {
        json_decref(*result);
        *result = json_incref((json_t *)piped);
    }
    return status;
}

static int call_function(struct run *run, const json_t *dot, const struct format_operand *function,
                         const struct format_operand *operands, const json_t *piped, bool is_piped,
                         json_t **result)
{
    if (strcmp(function->name, "and") == 0 || strcmp(function->name, "or") == 0)
        return call_logic(run, dot, function, operands, piped, is_piped, result);
    struct format_call call = {
        .format = run->format, .position = function->position, .root = run->root, .err = run->err};
    int status = 0;
    *result = NULL;
    for (; status == 0 && operands; operands = operands->next)
        status = evaluate_operand(run, dot, operands, &call.arguments[call.count++]);
    if (status == 0 && is_piped)
        call.arguments[call.count++] = json_incref((json_t *)piped);
    const struct format_function *known = format_find_function(function->name);
    if (status == 0 && (call.count < known->minimum || call.count > known->maximum))
        status =
            FAIL(run, function->position, "'%s' takes %zu%s arguments, not %zu", known->name,
                 known->minimum, known->maximum > known->minimum ? " or more" : "", call.count);
    if (status == 0)
        status = known->call(&call, result);
    for (size_t i = 0; i < call.count; i++)
        json_decref(call.arguments[i]);
    return status;
}

/* `.Label "KEY"`: what docker's row types have as a method is a member of the row here. */
static int call_field(struct run *run, const json_t *dot, const struct format_operand *operand,
                      json_t **result)
{
    json_t *map = NULL, *key = NULL;
    int status = evaluate_operand(run, dot, operand, &map);
    if (status == 0)
        status = evaluate_operand(run, dot, operand->next, &key);
    if (status == 0 && (!json_is_object(map) || !json_is_string(key) || operand->next->next))
        status = FAIL(run, operand->position, "a value that is no function has arguments");
    if (status == 0) {
        json_t *found = json_object_get(map, json_string_value(key));
        *result = found ? json_incref(found) : json_string("");
    }
    json_decref(map);
    json_decref(key);
    return status;
}

static int evaluate_command(struct run *run, const json_t *dot,
                            const struct format_command *command, const json_t *piped,
                            bool is_piped, json_t **result)
{
    const struct format_operand *first = command->operands;
    if (first->kind == FORMAT_FUNCTION)
        return call_function(run, dot, first, first->next, piped, is_piped, result);
    if (is_piped)
        return FAIL(run, first->position, "what follows | must be a function");
    if (first->next)
        return call_field(run, dot, first, result);
    return evaluate_operand(run, dot, first, result);
}

static int evaluate_pipeline(struct run *run, const json_t *dot,
                             const struct format_pipeline *pipeline, json_t **result)
{
    json_t *value = NULL;
    bool is_piped = false;
    for (const struct format_command *command = pipeline->commands; command;
         command = command->next) {
        json_t *next = NULL;
        int status = evaluate_command(run, dot, command, value, is_piped, &next);
        json_decref(value);
        value = next;
        if (status < 0) {
            json_decref(value);
            return -1;
        }
        is_piped = true;
    }
    *result = value;
    return 0;
}

/* Variables */

static void declare(struct run *run, struct variable *variable, const char *name,
                    const json_t *value)
{
    *variable = (struct variable){name, json_incref((json_t *)value), run->variables};
    run->variables = variable;
}

static void forget_until(struct run *run, struct variable *outer)
{
    while (run->variables != outer) {
        json_decref(run->variables->value);
        run->variables = run->variables->outer;
    }
}

static int assign(struct run *run, size_t position, const char *name, const json_t *value)
{
    for (struct variable *at = run->variables; at; at = at->outer) {
        if (strcmp(at->name, name) == 0) {
            json_decref(at->value);
            at->value = json_incref((json_t *)value);
            return 0;
        }
    }
    return FAIL(run, position, "there is no variable '$%.64s' to assign to", name);
}

/* What a pipeline's variables get; those that it declares use the slots. */
static int set_variables(struct run *run, const struct format_node *node, struct variable slots[2],
                         const json_t *index, const json_t *value)
{
    const json_t *values[2] = {index, value};
    for (size_t i = 0; i < 2; i++) {
        const char *name = node->pipeline->variables[i];
        if (!name)
            continue;
        if (!node->pipeline->assigns)
            declare(run, &slots[i], name, values[i]);
        else if (assign(run, node->position, name, values[i]) < 0)
            return -1;
    }
    return 0;
}

/* Nodes */

static enum outcome run_nodes(struct run *run, const json_t *dot, const struct format_node *node);

static int evaluate_condition(struct run *run, const json_t *dot, const struct format_node *node,
                              json_t **value)
{
    bool before = run->in_condition;
    run->in_condition = true;
    int status = evaluate_pipeline(run, dot, node->pipeline, value);
    run->in_condition = before;
    return status;
}

static enum outcome run_once(struct run *run, const struct format_node *node, const json_t *index,
                             const json_t *value)
{
    struct variable *outer = run->variables, slots[2];
    enum outcome outcome = FAILED;
    if (set_variables(run, node, slots, index, value) == 0)
        outcome = run_nodes(run, value, node->body);
    forget_until(run, outer);
    return outcome;
}

static enum outcome run_over_object(struct run *run, const struct format_node *node, json_t *object)
{
    size_t count = json_object_size(object), filled = 0;
    scope_free const char **keys = memory_allocate(count, sizeof *keys);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) keys[filled++] = key;
    qsort(keys, count, sizeof *keys, format_compare_keys);
    for (size_t i = 0; i < count; i++) {
        json_t *index = json_string(keys[i]);
        enum outcome outcome = run_once(run, node, index, json_object_get(object, keys[i]));
        json_decref(index);
        if (outcome == FAILED || outcome == BROKEN_OFF)
            return outcome;
    }
    return DONE;
}

static enum outcome run_over_array(struct run *run, const struct format_node *node,
                                   const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *index = json_integer((json_int_t)i);
        enum outcome outcome = run_once(run, node, index, json_array_get(array, i));
        json_decref(index);
        if (outcome == FAILED || outcome == BROKEN_OFF)
            return outcome;
    }
    return DONE;
}

static enum outcome run_range(struct run *run, const json_t *dot, const struct format_node *node)
{
    json_t *value = NULL;
    enum outcome outcome = FAILED;
    if (evaluate_condition(run, dot, node, &value) < 0)
        return FAILED;
    if (value && !json_is_null(value) && !json_is_object(value) && !json_is_array(value))
        FAIL(run, node->position, "range takes a list or a map");
    else if (!format_is_true(value))
        outcome = run_nodes(run, dot, node->otherwise);
    else if (json_is_object(value))
        outcome = run_over_object(run, node, value);
    else
        outcome = run_over_array(run, node, value);
    if (outcome == BROKEN_OFF && format_is_true(value))
        outcome = DONE;
    json_decref(value);
    return outcome;
}

static enum outcome run_condition(struct run *run, const json_t *dot,
                                  const struct format_node *node)
{
    json_t *value = NULL;
    if (evaluate_condition(run, dot, node, &value) < 0)
        return FAILED;
    struct variable *outer = run->variables, slots[2];
    enum outcome outcome = FAILED;
    if (set_variables(run, node, slots, NULL, value) == 0) {
        if (!format_is_true(value))
            outcome = run_nodes(run, dot, node->otherwise);
        else
            outcome = run_nodes(run, node->kind == FORMAT_WITH ? value : dot, node->body);
    }
    forget_until(run, outer);
    json_decref(value);
    return outcome;
}

static int run_action(struct run *run, const json_t *dot, const struct format_node *node,
                      struct variable **declared)
{
    json_t *value = NULL;
    if (evaluate_pipeline(run, dot, node->pipeline, &value) < 0)
        return -1;
    int status = 0;
    const char *name = node->pipeline->variables[1];
    if (node->pipeline->variables[0]) {
        status = FAIL(run, node->position, "only range gives two variables");
    } else if (name && node->pipeline->assigns) {
        status = assign(run, node->position, name, value);
    } else if (name) {
        *declared = memory_allocate(1, sizeof **declared);
        declare(run, *declared, name, value);
    } else {
        format_print_value(value, run->out);
    }
    json_decref(value);
    return status;
}

static enum outcome run_node(struct run *run, const json_t *dot, const struct format_node *node,
                             struct variable **declared)
{
    switch (node->kind) {
    case FORMAT_TEXT:
        fwrite(node->text, 1, node->length, run->out);
        return DONE;
    case FORMAT_ACTION:
        return run_action(run, dot, node, declared) < 0 ? FAILED : DONE;
    case FORMAT_IF:
    case FORMAT_WITH:
        return run_condition(run, dot, node);
    case FORMAT_RANGE:
        return run_range(run, dot, node);
    case FORMAT_BREAK:
        return BROKEN_OFF;
    case FORMAT_CONTINUE:
        return CONTINUED;
    }
    return FAILED;
}

/* Variables that the nodes declare live until their block's end. */
static enum outcome run_nodes(struct run *run, const json_t *dot, const struct format_node *node)
{
    struct variable *outer = run->variables;
    enum outcome outcome = DONE;
    for (; node && outcome == DONE; node = node->next) {
        struct variable *declared = NULL;
        outcome = run_node(run, dot, node, &declared);
    }
    while (run->variables != outer) {
        struct variable *variable = run->variables;
        run->variables = variable->outer;
        json_decref(variable->value);
        free(variable);
    }
    return outcome;
}

int format_print(const struct format *format, const json_t *value, FILE *out, struct error *err)
{
    struct run run = {.format = format, .root = value, .out = out, .err = err};
    return run_nodes(&run, value, format->nodes) == FAILED ? -1 : 0;
}

char *format_make_text(const struct format *format, const json_t *value, struct error *err)
{
    scope_free char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) {
        error_set(err, 0, "format: out of memory");
        return NULL;
    }
    int status = format_print(format, value, out, err);
    if (fclose(out) != 0 && status == 0)
        status = error_set(err, 0, "format: out of memory");
    return status < 0 ? NULL : scope_take_pointer(text);
}

int format_print_line(const char *text, const json_t *value, FILE *out, struct error *err)
{
    struct format *format = format_parse(strcmp(text, "json") == 0 ? "{{json .}}" : text, err);
    if (!format)
        return -1;
    scope_free char *line = format_make_text(format, value, err);
    format_release(format);
    if (!line)
        return -1;
    fprintf(out, "%s\n", line);
    return 0;
}
