#include "image/registry_transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/scope.h"

#define BODY_LIMIT (4 << 20) /* of tokens, manifests, lists and error texts */
#define HEADER_LIMIT 16384   /* of one field */
#define HEADERS_LIMIT 262144 /* of all of them */
#define BUFFER_SIZE (512L << 10)
#define UPLOAD_PATIENCE 10 /* times stallSeconds: a registry copies and hashes what it got */

/* One exchange. */
struct transfer {
    struct registry_http *http;
    const struct registry_http_request *request;
    struct registry_http_response *response;
    size_t header_bytes;
    bool begun;       /* the sink has */
    bool sink_failed; /* with error */
    struct error error;
    int64_t sent;
};

/* ---- What comes ---- */

static int begin_sink(struct transfer *transfer)
{
    struct registry_http_sink *sink = transfer->request->sink;
    if (transfer->begun)
        return 0;
    transfer->begun = true;
    if (sink->begin && sink->begin(sink, transfer->response, &transfer->error) < 0) {
        transfer->sink_failed = true;
        return -1;
    }
    return 0;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct registry_http_response *response = transfer->response;
    struct registry_http_sink *sink = transfer->request->sink;
    size_t length = size * count, used = response->length;
    if (response->status >= 300 && response->status < 400)
        return length; /* where it leads counts, not what it says */
    if (sink && response->status >= 200 && response->status < 300) {
        if (begin_sink(transfer) < 0)
            return 0;
        if (sink->write(sink, bytes, length, &transfer->error) < 0)
            transfer->sink_failed = true;
        return transfer->sink_failed ? 0 : length;
    }
    if (length > BODY_LIMIT - used)
        return 0; /* libcurl then says that it can't write */
    response->body = memory_resize(response->body, used + length + 1, 1);
    memcpy(response->body + used, bytes, length);
    response->length = used + length;
    response->body[response->length] = '\0';
    return length;
}

static void forget_headers(struct registry_http_response *response)
{
    arena_release(&response->arena);
    response->challenge = (struct registry_challenge){0};
    response->content_type = response->digest = response->location = response->range =
        response->link = response->subject = NULL;
    response->has_content_range = false;
    response->content_length = response->retry_after = -1;
    response->chunk_least = 0;
}

static bool take_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < 0)
        return false;
    *number = value;
    return true;
}

static void keep_field(struct registry_http_response *response, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"Content-Type", &response->content_type},
        {"Docker-Content-Digest", &response->digest},
        {"Location", &response->location},
        {"Range", &response->range},
        {"Link", &response->link},
        {"OCI-Subject", &response->subject},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcasecmp(name, texts[i].name) == 0)
            *texts[i].text = value;
    if (strcasecmp(name, "WWW-Authenticate") == 0)
        registry_parse_challenge(value, &response->arena, &response->challenge);
    else if (strcasecmp(name, "Content-Length") == 0)
        take_number(value, &response->content_length);
    else if (strcasecmp(name, "OCI-Chunk-Min-Length") == 0)
        take_number(value, &response->chunk_least);
    else if (strcasecmp(name, "Retry-After") == 0)
        response->retry_after = registry_parse_retry_after(value, time(NULL));
    else if (strcasecmp(name, "Content-Range") == 0)
        response->has_content_range = registry_parse_content_range(
            value, &response->first, &response->last, &response->total);
}

static size_t take_header(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct registry_http_response *response = transfer->response;
    size_t length = size * count;
    transfer->header_bytes += length;
    if (transfer->header_bytes > HEADERS_LIMIT)
        return 0;
    if (length > 5 && strncasecmp(bytes, "HTTP/", 5) == 0) {
        forget_headers(response); /* another answer begins, after 100 or 103 */
        const char *blank = memchr(bytes, ' ', length);
        response->status = blank ? strtol(blank, NULL, 10) : 0; /* a line ends with CR and LF */
        return length;
    }
    char *colon = memchr(bytes, ':', length);
    if (!colon || length >= HEADER_LIMIT)
        return length;
    char *field = arena_allocate(&response->arena, length + 1, 1);
    memcpy(field, bytes, length);
    char *value = field + (colon - bytes);
    *value++ = '\0';
    value += strspn(value, " \t");
    size_t end = strcspn(value, "\r\n");
    while (end > 0 && strchr(" \t", value[end - 1]))
        end--;
    value[end] = '\0';
    keep_field(response, field, value);
    return length;
}

/* ---- What goes ---- */

static size_t give_body(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    const struct registry_http_request *request = transfer->request;
    size_t room = size * count;
    if ((int64_t)room > request->length - transfer->sent)
        room = (size_t)(request->length - transfer->sent);
    if (request->has_file && room > 0) {
        ssize_t got = pread(request->file, bytes, room, request->offset + transfer->sent);
        if (got <= 0)
            return CURL_READFUNC_ABORT;
        room = (size_t)got;
    } else if (room > 0) {
        memcpy(bytes, (const char *)request->body + transfer->sent, room);
    }
    transfer->sent += (int64_t)room;
    if (request->sent)
        request->sent(request->context, transfer->sent);
    return room;
}

/* The connection that was kept had been closed, or the server asks again. */
static int seek_body(void *user, curl_off_t offset, int origin)
{
    struct transfer *transfer = user;
    if (origin != SEEK_SET || offset < 0 || offset > transfer->request->length)
        return CURL_SEEKFUNC_CANTSEEK;
    transfer->sent = offset;
    return CURL_SEEKFUNC_OK;
}

static int check_cancelled(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *transfer = user;
    (void)a, (void)b, (void)c, (void)d;
    return registry_cancel_is(transfer->http->cancel) ? 1 : 0;
}

/* ---- The request ---- */

static void set_security(const struct registry_http *http)
{
    CURL *curl = http->curl;
    const struct registry_certificates *certificates = &http->certificates;
    const char *authority = http->certified;
    bool insecure = registry_http_is_insecure(http, authority);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
    if (certificates->authorities) {
        /* Takes the place of the system's file; the system's directory stays. */
        struct curl_blob blob = {certificates->authorities, certificates->length, CURL_BLOB_COPY};
        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (certificates->certificate) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, certificates->certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, certificates->key);
    }
    if (registry_host_is_loopback(authority))
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static void set_body(CURL *curl, struct transfer *transfer)
{
    const struct registry_http_request *request = transfer->request;
    if (request->form)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->form);
    if (request->has_body || request->has_file) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seek_body);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->length);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
    }
    if (!request->method)
        return;
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static struct curl_slist *add_field(struct curl_slist *fields, const char *name, const char *value)
{
    if (!value)
        return fields;
    scope_free char *field = memory_format("%s: %s", name, value);
    return curl_slist_append(fields, field);
}

static struct curl_slist *set_fields(CURL *curl, const struct registry_http_request *request)
{
    struct curl_slist *fields = NULL;
    fields = add_field(fields, "Accept", request->accept);
    fields = add_field(fields, "Content-Type", request->content_type);
    fields = add_field(fields, "Content-Range", request->content_range);
    if (request->has_body || request->has_file)
        fields = curl_slist_append(fields, "Expect:"); /* a round trip that few servers know */
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    if (request->range_from > 0) {
        char range[32];
        snprintf(range, sizeof range, "%lld-", (long long)request->range_from);
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
    }
    return fields;
}

static void set_credentials(CURL *curl, const struct registry_http_request *request)
{
    if (request->bearer) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request->bearer);
    } else if (request->user) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
}

static void set_rest(CURL *curl, struct transfer *transfer)
{
    const struct registry_config *config = transfer->http->config;
    bool uploads = transfer->request->has_body || transfer->request->has_file;
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "hull/" HULL_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, config->connect_seconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     config->stall_seconds * (uploads ? UPLOAD_PATIENCE : 1));
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    if (transfer->http->cancel) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, check_cancelled);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    }
}

static int code_of(CURLcode result)
{
    switch (result) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return EPROTO;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return ECONNRESET;
    case CURLE_ABORTED_BY_CALLBACK:
        return ECANCELED;
    default:
        return 0;
    }
}

static int fail(const struct transfer *transfer, const char *url, CURLcode result,
                const char *reason, struct error *err)
{
    if (transfer->sink_failed) {
        if (err)
            *err = transfer->error;
        return -1;
    }
    /* Without the query, which may say more than a terminal should show. */
    int shown = (int)strcspn(url, "?");
    if (result == CURLE_WRITE_ERROR)
        error_set(err, 0, "%.*s: the answer is longer than %d bytes", shown, url,
                  transfer->header_bytes > HEADERS_LIMIT ? HEADERS_LIMIT : BODY_LIMIT);
    else
        error_set(err, 0, "%.*s: %s", shown, url, *reason ? reason : curl_easy_strerror(result));
    if (err)
        err->code = code_of(result);
    return -1;
}

int registry_transfer(struct registry_http *http, const struct registry_http_request *request,
                      const char *url, struct registry_http_response *response, struct error *err)
{
    struct transfer transfer = {.http = http, .request = request, .response = response};
    char reason[CURL_ERROR_SIZE] = "";
    CURL *curl = http->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    set_security(http);
    set_rest(curl, &transfer);
    set_body(curl, &transfer);
    set_credentials(curl, request);
    struct curl_slist *fields = set_fields(curl, request);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(fields);
    if (result != CURLE_OK)
        return fail(&transfer, url, result, reason, err);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
    if (request->sink && response->status >= 200 && response->status < 300 &&
        begin_sink(&transfer) < 0)
        return fail(&transfer, url, result, "", err); /* an answer without a byte */
    return 0;
}
