/* From a request to its resource: the table is looked up, the state checked, the body parsed. */
#include "vm/control/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/control/log.h"
#include "vm/control/settings_check.h"

static const struct api_resource *const resource_lists[] = {
    api_machine_resources, api_device_resources, api_memory_resources, api_monitor_resources};

void control_reply_fault(struct control_reply *reply, unsigned status, const char *text)
{
    json_t *document = json_pack("{s:s?}", "fault_message", text);
    /* A path or a name in it may not be UTF-8. */
    if (!document || json_is_null(json_object_get(document, "fault_message"))) {
        json_decref(document);
        document = json_pack("{s:s}", "fault_message", "The request failed.");
    }
    reply->status = status;
    free(reply->text);
    reply->text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
}

int api_fail_before_start(struct api_call *call)
{
    return error_set(call->err, 0,
                     "The requested operation is not supported before starting the microVM.");
}

int api_fail_after_start(struct api_call *call)
{
    return error_set(call->err, 0,
                     "The requested operation is not supported after starting the microVM.");
}

void api_deprecate(struct api_call *call, const char *text)
{
    call->deprecated = true;
    metrics_add(&metrics_of(call->control->metrics)->deprecated_api.deprecated_http_api_calls, 1);
    log_warning("%s", text);
}

/* Whether the path is that of the resource; *id is then the component that {id} stands for. */
static bool matches(const struct api_resource *resource, const char *path, const char **id)
{
    const char *hole = strchr(resource->path, '{');
    size_t fixed = hole ? (size_t)(hole - resource->path) : strlen(resource->path);
    *id = NULL;
    if (!hole)
        return strcmp(resource->path, path) == 0;
    if (strncmp(resource->path, path, fixed) != 0 || strchr(path + fixed, '/'))
        return false;
    *id = path + fixed;
    return true;
}

static const struct api_resource *find_resource(const char *path, const char **id)
{
    for (size_t i = 0; i < sizeof resource_lists / sizeof *resource_lists; i++) {
        for (const struct api_resource *resource = resource_lists[i]; resource->path; resource++) {
            if (matches(resource, path, id))
                return resource;
        }
    }
    return NULL;
}

static const struct api_method *find_method(const struct api_resource *resource, const char *name)
{
    for (const struct api_method *method = resource->methods; method->name; method++) {
        if (strcmp(method->name, name) == 0)
            return method;
    }
    return NULL;
}

int api_check_id(struct api_call *call, const char *id)
{
    if (strcmp(id, call->id) != 0)
        return error_set(call->err, 0,
                         "The id from the path [%.64s] does not match the id from the body "
                         "[%.64s]!",
                         call->id, id);
    return settings_check_id(id, call->err);
}

/* Always returns -1. */
static int fail_deserializing(struct error *err)
{
    size_t length = strlen(err->text);
    snprintf(err->text + length, sizeof err->text - length, ".");
    return error_wrap(err, "An error occurred when deserializing the json body of a request");
}

int api_read_body(struct api_call *call, const struct settings_object *object, bool partial,
                  void *out)
{
    struct error *err = call->err;
    settings_set_defaults(object, out);
    if (settings_read(object, call->body, partial, out, err) == 0)
        return 0;
    size_t length = strlen(err->text);
    bool is_outermost = strncmp(err->text, "missing field", strlen("missing field")) == 0 &&
                        !strstr(err->text, " in `");
    /* That a field is missing is known at the end. */
    if (is_outermost)
        snprintf(err->text + length, sizeof err->text - length, " at line %zu column %zu",
                 call->body_end_line, call->body_end_column);
    return fail_deserializing(err);
}

/* The line and column of the last character that isn't blank, from 1 on. */
static void find_end(const struct control_request *request, struct api_call *call)
{
    size_t end = request->body_length;
    while (end > 0 && strchr(" \t\r\n", request->body[end - 1]))
        end--;
    call->body_end_line = 1;
    call->body_end_column = end;
    for (size_t i = 0; i < end; i++) {
        if (request->body[i] == '\n') {
            call->body_end_line++;
            call->body_end_column = end - i - 1;
        }
    }
}

static int parse_body(struct api_call *call, const struct api_method *method, bool is_metadata,
                      const struct control_request *request)
{
    json_error_t where;
    if (request->body_length == 0) {
        return method->body != API_BODY
                   ? 0
                   : error_set(call->err, 0, "Empty %s request.", request->method);
    }
    if (method->body == API_NO_BODY)
        return error_set(call->err, 0, "%s request cannot have a body.", request->method);
    find_end(request, call);
    if (is_metadata) /* any JSON, strings with NUL too */
        call->body = json_loadb(request->body, request->body_length,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &where);
    else
        call->body = settings_parse(request->body, request->body_length, call->err);
    if (!call->body && is_metadata)
        error_set(call->err, 0, "%.200s at line %d column %d", where.text, where.line,
                  where.column);
    return call->body ? 0 : fail_deserializing(call->err);
}

static int run_method(struct api_call *call, const struct api_resource *resource,
                      const struct api_method *method, const struct control_request *request)
{
    bool has_started = call->control->state != VM_NOT_STARTED;
    if (parse_body(call, method, resource->has_private_body, request) < 0)
        return -1;
    if (method->when == API_BEFORE_START && has_started)
        return api_fail_after_start(call);
    if (method->when == API_AFTER_START && !has_started)
        return api_fail_before_start(call);
    return method->handle(call);
}

static void count(struct control *control, size_t offset)
{
    char *counters = (char *)metrics_of(control->metrics);
    if (offset)
        metrics_add((struct metric_counter *)(void *)(counters + offset), 1);
}

static void log_request(const struct api_resource *resource, const struct control_request *request)
{
    char method[8];
    snprintf(method, sizeof method, "%s", request->method);
    for (char *at = method + 1; method[0] && *at; at++)
        *at |= 0x20;
    if (request->body_length == 0 || (resource && resource->has_private_body))
        log_info("The API server received a %s request on \"%.200s\".", method, request->path);
    else
        log_info("The API server received a %s request on \"%.200s\" with body \"%.*s\".", method,
                 request->path, (int)(request->body_length < 1024 ? request->body_length : 1024),
                 request->body);
}

static void make_reply(struct api_call *call, int status, struct control_reply *reply)
{
    reply->deprecated = call->deprecated;
    if (status < 0) {
        unsigned code = call->status ? call->status : 400;
        control_reply_fault(reply, code, call->err->text);
        log_error("Received Error. Status code: %u %s. Message: %s", code,
                  code == 413 ? "Payload Too Large" : "Bad Request", call->err->text);
    } else {
        reply->status = call->result ? 200 : 204;
        reply->text =
            call->result ? json_dumps(call->result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        if (call->result && !reply->text)
            control_reply_fault(reply, 500, "The answer can't be written as JSON.");
    }
}

void control_answer(struct control *control, const struct control_request *request,
                    struct control_reply *reply)
{
    struct error err = {0};
    struct api_call call = {.control = control, .err = &err};
    const struct api_resource *resource = find_resource(request->path, &call.id);
    const struct api_method *method = resource ? find_method(resource, request->method) : NULL;
    int status;
    *reply = (struct control_reply){0};
    log_request(resource, request);
    if (method) {
        count(control, method->count);
        status = run_method(&call, resource, method, request);
        if (status < 0)
            count(control, method->fails);
    } else {
        status = error_set(&err, 0, "Invalid request method and/or path: %.16s %.200s.",
                           request->method, request->path);
    }
    make_reply(&call, status, reply);
    json_decref(call.body);
    json_decref(call.result);
}
