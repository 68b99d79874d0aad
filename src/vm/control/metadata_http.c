/* The guest's side: HTTP/1.1 as far as a metadata service needs it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/loop.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/scope.h"
#include "vm/control/metadata_internal.h"
#include "vm/control/metrics.h"

/* Text inside the request. */
struct span {
    const char *at;
    size_t length;
};

struct request {
    struct span method, target;
    struct span token, ttl, accept, forwarded; /* at is NULL without such a header */
    bool has_body;
};

struct answer {
    int status;
    const char *type; /* of the body */
    char *body;       /* allocated */
    size_t length;
    unsigned ttl;    /* of the token in the body; 0: it is none */
    bool show_allow; /* which methods there are */
    bool close;
};

/* Whatever the case of its letters. */
static bool span_is(struct span span, const char *text)
{
    return span.length == strlen(text) && strncasecmp(span.at, text, span.length) == 0;
}

static bool span_equals(struct span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.at, text, span.length) == 0;
}

static struct span trim(struct span span)
{
    while (span.length && (*span.at == ' ' || *span.at == '\t'))
        span.at++, span.length--;
    while (span.length && strchr(" \t\r", span.at[span.length - 1]))
        span.length--;
    return span;
}

/* ---- answers ---- */

static struct answer plain(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static struct answer plain(int status, const char *format, ...)
{
    char text[METADATA_MAX_REQUEST + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return (struct answer){.status = status,
                           .type = "text/plain",
                           .body = memory_copy_string(text),
                           .length = strlen(text)};
}

static struct answer malformed(const char *what)
{
    struct answer answer = plain(400, "Invalid request: %s", what);
    answer.close = true;
    return answer;
}

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 501:
        return "Not Implemented";
    default:
        return "Internal Server Error";
    }
}

static void write_answer(const struct answer *answer, struct metadata_response *response)
{
    char head[512];
    size_t length =
        (size_t)snprintf(head, sizeof head,
                         "HTTP/1.1 %d %s\r\nServer: hull MMDS\r\nConnection: %s\r\n"
                         "Content-Type: %s\r\nContent-Length: %zu\r\n",
                         answer->status, reason_phrase(answer->status),
                         answer->close ? "close" : "keep-alive", answer->type, answer->length);
    if (answer->show_allow)
        length += (size_t)snprintf(head + length, sizeof head - length, "Allow: GET, PUT\r\n");
    if (answer->ttl)
        length += (size_t)snprintf(head + length, sizeof head - length,
                                   "X-metadata-token-ttl-seconds: %u\r\n", answer->ttl);
    length += (size_t)snprintf(head + length, sizeof head - length, "\r\n");
    response->length = length + answer->length;
    response->bytes = memory_allocate(response->length + 1, 1);
    response->close = answer->close;
    memcpy(response->bytes, head, length);
    if (answer->length)
        memcpy(response->bytes + length, answer->body, answer->length);
}

/* ---- reading the head ---- */

/* The next line of *rest without its end. */
static struct span take_line(struct span *rest)
{
    const char *end = memchr(rest->at, '\n', rest->length);
    struct span line = {rest->at, end ? (size_t)(end - rest->at) : rest->length};
    size_t taken = line.length + (end != NULL);
    rest->at += taken;
    rest->length -= taken;
    if (line.length && line.at[line.length - 1] == '\r')
        line.length--;
    return line;
}

static struct span take_word(struct span *rest)
{
    const char *end = memchr(rest->at, ' ', rest->length);
    struct span word = {rest->at, end ? (size_t)(end - rest->at) : rest->length};
    size_t taken = word.length + (end != NULL);
    rest->at += taken;
    rest->length -= taken;
    return word;
}

/* "http://169.254.169.254/latest" is "/latest" (RFC 9112, section 3.2.2). */
static struct span strip_authority(struct span target)
{
    static const char scheme[] = "http://";
    size_t length = strlen(scheme);
    if (target.length < length || strncasecmp(target.at, scheme, length) != 0)
        return target;
    const char *slash = memchr(target.at + length, '/', target.length - length);
    return slash ? (struct span){slash, target.length - (size_t)(slash - target.at)}
                 : (struct span){"/", 1};
}

static const char *read_request_line(struct span line, struct request *request)
{
    request->method = take_word(&line);
    request->target = take_word(&line);
    if (request->method.length == 0 || request->target.length == 0)
        return "the first line is not a request";
    if (!span_is(line, "HTTP/1.1") && !span_is(line, "HTTP/1.0"))
        return "Unsupported HTTP version.";
    request->target = strip_authority(request->target);
    return request->target.at[0] == '/' ? NULL : "Invalid URI.";
}

/* NULL, or what is wrong. */
static const char *read_header(struct span line, struct request *request)
{
    const char *colon = memchr(line.at, ':', line.length);
    if (!colon)
        return "Invalid header.";
    struct span name = {line.at, (size_t)(colon - line.at)};
    struct span value = trim((struct span){colon + 1, line.length - name.length - 1});
    if (span_is(name, "X-metadata-token") || span_is(name, "X-aws-ec2-metadata-token"))
        request->token = value;
    else if (span_is(name, "X-metadata-token-ttl-seconds") ||
             span_is(name, "X-aws-ec2-metadata-token-ttl-seconds"))
        request->ttl = value;
    else if (span_is(name, "X-Forwarded-For"))
        request->forwarded = name;
    else if (span_is(name, "Accept"))
        request->accept = value;
    else if (span_is(name, "Transfer-Encoding"))
        request->has_body = true;
    else if (span_is(name, "Content-Length")) {
        if (value.length == 0)
            return "Invalid header. Reason: Invalid value. Key:Content-Length; Value:";
        for (size_t i = 0; i < value.length; i++)
            request->has_body = request->has_body || value.at[i] != '0';
    }
    return NULL;
}

static const char *read_head(struct span head, struct request *request)
{
    const char *fault = read_request_line(take_line(&head), request);
    while (!fault && head.length) {
        struct span line = take_line(&head);
        if (line.length == 0)
            break;
        fault = read_header(line, request);
    }
    return fault;
}

/* ---- what is asked for ---- */

static void count(struct metric_counter *counter)
{
    metrics_add(counter, 1);
}

/* The media types of an Accept header: whether JSON is among them; -1: only others. */
static int accepts_json(struct span accept)
{
    static const char *const texts[] = {"text/plain", "plain/text", "text/*", "*/*", "*"};
    int text = 0;
    if (!accept.at || accept.length == 0)
        return 0;
    while (accept.length) {
        const char *comma = memchr(accept.at, ',', accept.length);
        size_t size = comma ? (size_t)(comma - accept.at) : accept.length;
        const char *semicolon = memchr(accept.at, ';', size);
        struct span type =
            trim((struct span){accept.at, semicolon ? (size_t)(semicolon - accept.at) : size});
        if (span_is(type, "application/json"))
            return 1;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            text += span_is(type, texts[i]);
        accept.at += size + (comma != NULL);
        accept.length -= size + (comma != NULL);
    }
    return text ? 0 : -1;
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* The names in the object, sorted, a line each, with a slash behind those of objects. */
static struct answer list_names(const json_t *object)
{
    size_t names = json_object_size(object), index = 0, length = 0;
    scope_free const char **sorted = memory_allocate(names + 1, sizeof *sorted);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        sorted[index++] = key;
        length += strlen(key) + 2;
    }
    qsort(sorted, names, sizeof *sorted, compare_names);
    struct answer answer = {.status = 200, .type = "text/plain"};
    answer.body = memory_allocate(length + 1, 1);
    for (index = 0; index < names; index++)
        answer.length +=
            (size_t)sprintf(answer.body + answer.length, "%s%s%s", sorted[index],
                            json_is_object(json_object_get(object, sorted[index])) ? "/" : "",
                            index + 1 < names ? "\n" : "");
    return answer;
}

static struct answer answer_plain(const json_t *value)
{
    if (json_is_object(value))
        return list_names(value);
    if (!json_is_string(value))
        return plain(501, "Cannot retrieve value. The value has an unsupported type.");
    size_t length = json_string_length(value);
    char *body = memory_allocate(length + 1, 1);
    memcpy(body, json_string_value(value), length);
    return (struct answer){.status = 200, .type = "text/plain", .body = body, .length = length};
}

static struct answer answer_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (!text)
        return plain(500, "The value can't be written as JSON.");
    return (struct answer){
        .status = 200, .type = "application/json", .body = text, .length = strlen(text)};
}

/* Whether the token lets a GET through; counts the requests without a valid one in either version.
 * V1 serves them all the same. */
static bool check_token(struct metadata *metadata, const struct request *request, int64_t now,
                        struct answer *refusal)
{
    bool is_needed = metadata->version == METADATA_V2;
    if (!request->token.at) {
        if (metadata->counters)
            count(&metadata->counters->rx_no_token);
        if (is_needed)
            *refusal = plain(401, "No MMDS token provided. Use `X-metadata-token` or "
                                  "`X-aws-ec2-metadata-token` header to specify the session "
                                  "token.");
        return !is_needed;
    }
    if (metadata_token_is_valid(&metadata->tokens, now, request->token.at, request->token.length))
        return true;
    if (metadata->counters)
        count(&metadata->counters->rx_invalid_token);
    if (is_needed)
        *refusal = plain(401, "MMDS token not valid.");
    return !is_needed;
}

static struct answer answer_get(struct metadata *metadata, const struct request *request,
                                int64_t now)
{
    struct answer refusal;
    if (!check_token(metadata, request, now, &refusal))
        return refusal;
    int json = accepts_json(request->accept);
    if (json < 0 && !metadata->imds_compat)
        return plain(400, "Invalid header. Reason: Unsupported value. Key:Accept; Value:%.*s",
                     (int)request->accept.length, request->accept.at);
    bool as_json = json > 0 && !metadata->imds_compat;
    scope_free char *path = memory_allocate(request->target.length + 1, 1);
    memcpy(path, request->target.at, request->target.length);
    size_t length = strcspn(path, "?#");
    /* Before the host put anything there the document is null. */
    const json_t *content = metadata->content ? metadata->content : json_null();
    const json_t *value = metadata_find(content, path, length);
    if (!value)
        return plain(404, "Resource not found: %.*s.", (int)length, path);
    return as_json ? answer_json(value) : answer_plain(value);
}

static bool is_token_path(struct span target)
{
    static const char *const components[] = {"latest", "api", "token"};
    const char *at = target.at, *end = at + target.length;
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(components[i]);
        if (at == end || *at != '/')
            return false;
        while (at < end && *at == '/')
            at++;
        if ((size_t)(end - at) < length || memcmp(at, components[i], length) != 0)
            return false;
        at += length;
    }
    return at == end;
}

static struct answer answer_put(struct metadata *metadata, const struct request *request,
                                int64_t now)
{
    int64_t ttl;
    struct metadata_token token;
    /* A proxy put it there: the token would get out of the guest. */
    if (request->forwarded.at)
        return plain(400, "Invalid header. Reason: Unsupported header name. Key: %.*s",
                     (int)request->forwarded.length, request->forwarded.at);
    if (!is_token_path(request->target))
        return plain(404, "Resource not found: %.*s.", (int)request->target.length,
                     request->target.at);
    if (!request->ttl.at)
        return plain(400, "Token time to live value not found. Use `X-metadata-token-ttl-seconds` "
                          "or `X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's "
                          "lifetime.");
    scope_free char *text = memory_format("%.*s", (int)request->ttl.length, request->ttl.at);
    if (!quantity_read_integer(text, METADATA_MIN_TTL, METADATA_MAX_TTL, &ttl))
        return plain(400,
                     "Invalid time to live value provided for token: %s. Please provide a value "
                     "between %d and %d.",
                     text, METADATA_MIN_TTL, METADATA_MAX_TTL);
    if (metadata_token_make(&metadata->tokens, now, (unsigned)ttl, &token) < 0)
        return plain(500, "Token could not be generated.");
    struct answer answer = plain(200, "%s", token.text);
    answer.ttl = (unsigned)ttl;
    return answer;
}

static struct answer answer_request(struct metadata *metadata, const struct request *request,
                                    int64_t now)
{
    bool is_get = span_equals(request->method, "GET"), is_put = span_equals(request->method, "PUT");
    if (!is_get && !is_put) {
        struct answer answer = plain(405, "Not allowed HTTP method.");
        answer.show_allow = true;
        answer.close = request->has_body;
        return answer;
    }
    if (request->has_body)
        return malformed("a body is not expected.");
    return is_get ? answer_get(metadata, request, now) : answer_put(metadata, request, now);
}

/* The length of the head with the empty line that ends it, or 0. */
static size_t head_length(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n')
            continue;
        if (i + 1 < size && bytes[i + 1] == '\n')
            return i + 2;
        if (i + 2 < size && bytes[i + 1] == '\r' && bytes[i + 2] == '\n')
            return i + 3;
    }
    return 0;
}

size_t metadata_respond(struct metadata *metadata, const char *bytes, size_t size, int64_t now,
                        struct metadata_response *response)
{
    struct request request = {0};
    size_t considered = size < METADATA_MAX_REQUEST ? size : METADATA_MAX_REQUEST;
    size_t length = head_length(bytes, considered);
    if (length == 0 && size < METADATA_MAX_REQUEST)
        return 0;
    const char *fault = length == 0 ? "the head is too long"
                        : memchr(bytes, '\0', length)
                            ? "there is a NUL byte in it"
                            : read_head((struct span){bytes, length}, &request);
    struct answer answer = fault ? malformed(fault) : answer_request(metadata, &request, now);
    if (metadata->counters && answer.status != 200)
        count(&metadata->counters->rx_accepted_err);
    write_answer(&answer, response);
    free(answer.body);
    return answer.close ? size : length;
}

char *metadata_answer(void *context, const char *request, size_t size, size_t *taken,
                      size_t *response_size, bool *close)
{
    struct metadata_response response = {0};
    *taken = metadata_respond(context, request, size, loop_now(), &response);
    *response_size = response.length;
    *close = response.close;
    return response.bytes;
}
