/* The metadata service: merging, limits, and what a guest gets for its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "vm/control/metadata.h"
#include "vm/control/metrics.h"

static struct metrics_mmds counters;

static void put(struct metadata *metadata, const char *text, enum metadata_result expected)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    assert_int_equal(metadata_put(metadata, json), expected);
    json_decref(json);
}

static void patch(struct metadata *metadata, const char *text, enum metadata_result expected)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_int_equal(metadata_patch(metadata, json), expected);
    json_decref(json);
}

static void expect_content(const struct metadata *metadata, const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    if (!json_equal(json, (json_t *)(uintptr_t)metadata_get(metadata)))
        fail_msg("the store isn't %s", text);
    json_decref(json);
}

/* RFC 7396, appendix A, for those whose target is an object. */
static void test_merge_patch(void **state)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        {"{\"a\":\"foo\"}", "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{\"b\":{\"c\":1}}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct metadata *metadata = metadata_create(1000, NULL);
        put(metadata, cases[i][0], METADATA_DONE);
        patch(metadata, cases[i][1], METADATA_DONE);
        expect_content(metadata, cases[i][2]);
        metadata_destroy(metadata);
    }
}

static void test_limit(void **state)
{
    struct metadata *metadata = metadata_create(20, NULL);
    (void)state;
    patch(metadata, "{}", METADATA_NOT_INITIALIZED);
    put(metadata, "{\"a\": \"123456789012\"}", METADATA_DONE); /* 20 when written compactly */
    put(metadata, "{\"a\":\"1234567890123\"}", METADATA_TOO_LARGE);
    patch(metadata, "{\"b\":1}", METADATA_TOO_LARGE);
    expect_content(metadata, "{\"a\":\"123456789012\"}");
    patch(metadata, "{\"a\":null,\"b\":1}", METADATA_DONE);
    expect_content(metadata, "{\"b\":1}");
    assert_string_equal(metadata_result_text(METADATA_TOO_LARGE),
                        "The MMDS patch request doesn't fit.");
    metadata_destroy(metadata);
}

/* ---- the guest ---- */

static const char content[] =
    "{\"latest\":{\"meta-data\":{\"ami-id\":\"ami-12345678\",\"reservation-id\":\"r-fea54097\","
    "\"dummy_obj\":{\"res_key\":\"res_value\"},\"dummy_array\":[\"arr_val1\",\"arr_val2\"],"
    "\"dummy_empty\":\"\",\"a/b~c\":\"escaped\",\"nul\":\"x\\u0000y\"},"
    "\"Limits\":{\"CPU\":512},\"Usage\":{\"CPU\":12.5}}}";

static struct metadata *make(enum metadata_version version, bool imds_compat)
{
    struct metadata_settings settings = {.version = version, .imds_compat = imds_compat};
    struct metadata *metadata = metadata_create(10000, &counters);
    counters = (struct metrics_mmds){0};
    metadata_configure(metadata, &settings);
    put(metadata, content, METADATA_DONE);
    return metadata;
}

struct reply {
    int status;
    char text[8192];
    const char *body;
    size_t body_length;
    bool close;
};

static void ask_at(struct metadata *metadata, int64_t now, const char *request, struct reply *reply)
{
    struct metadata_response response;
    size_t length = strlen(request);
    /* Nothing is answered before the head is complete. */
    for (size_t i = 0; i < length; i++) {
        if (strstr(request, "\r\n\r\n") + 4 > request + i)
            assert_int_equal(metadata_respond(metadata, request, i, now, &response), 0);
    }
    size_t used = metadata_respond(metadata, request, length, now, &response);
    assert_true(used > 0 && used <= length && response.length < sizeof reply->text);
    memcpy(reply->text, response.bytes, response.length);
    reply->text[response.length] = '\0';
    reply->close = response.close;
    assert_true(response.close || used == (size_t)(strstr(request, "\r\n\r\n") + 4 - request));
    free(response.bytes);
    assert_int_equal(sscanf(reply->text, "HTTP/1.1 %d ", &reply->status), 1);
    reply->body = strstr(reply->text, "\r\n\r\n") + 4;
    reply->body_length = response.length - (size_t)(reply->body - reply->text);
    const char *field = strstr(reply->text, "Content-Length: ");
    assert_int_equal(strtoul(field + strlen("Content-Length: "), NULL, 10), reply->body_length);
}

static void expect(struct metadata *metadata, const char *request, int status, const char *body)
{
    struct reply reply;
    ask_at(metadata, 1000, request, &reply);
    if (reply.status != status || strcmp(reply.body, body) != 0)
        fail_msg("%s: got %d '%s', expected %d '%s'", request, reply.status, reply.body, status,
                 body);
}

#define GET(path, headers) "GET " path " HTTP/1.1\r\nHost: 169.254.169.254\r\n" headers "\r\n"
#define JSON "Accept: application/json\r\n"

static void test_plain_text(void **state)
{
    struct metadata *metadata = make(METADATA_V1, false);
    (void)state;
    expect(metadata, GET("/", ""), 200, "latest/");
    expect(metadata, GET("/latest", ""), 200, "Limits/\nUsage/\nmeta-data/");
    expect(metadata, GET("/latest/meta-data/", "Accept: */*\r\n"), 200,
           "a/b~c\nami-id\ndummy_array\ndummy_empty\ndummy_obj/\nnul\nreservation-id");
    expect(metadata, GET("/latest/meta-data/ami-id", "Accept: plain/text\r\n"), 200,
           "ami-12345678");
    expect(metadata, GET("/latest/meta-data/ami-id/", ""), 200, "ami-12345678");
    expect(metadata, GET("//latest//meta-data/ami-id", ""), 200, "ami-12345678");
    expect(metadata, GET("http://169.254.169.254/latest/meta-data/ami-id", ""), 200,
           "ami-12345678");
    expect(metadata, GET("http://169.254.169.254", ""), 200, "latest/");
    expect(metadata, GET("/latest/meta-data/a~1b~0c", ""), 200, "escaped");
    expect(metadata, GET("/latest/meta-data/dummy_array/0", ""), 200, "arr_val1");
    expect(metadata, GET("/latest/meta-data/dummy_empty", ""), 200, "");
    expect(metadata, GET("/latest/meta-data?x=1", ""), 200,
           "a/b~c\nami-id\ndummy_array\ndummy_empty\ndummy_obj/\nnul\nreservation-id");
    expect(metadata, GET("/latest/Limits/CPU", ""), 501,
           "Cannot retrieve value. The value has an unsupported type.");
    expect(metadata, GET("/latest/meta-data/dummy_array", ""), 501,
           "Cannot retrieve value. The value has an unsupported type.");
    static const char *const missing[] = {"/none",
                                          "/latest/meta-data/dummy_array/2",
                                          "/latest/meta-data/dummy_array/00",
                                          "/latest/meta-data/dummy_array/-",
                                          "/latest/meta-data/a~2",
                                          "/latest/meta-data/ami-id/x"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        char *request = memory_format("GET %s HTTP/1.1\r\n\r\n", missing[i]);
        char *body = memory_format("Resource not found: %s.", missing[i]);
        expect(metadata, request, 404, body);
        free(request);
        free(body);
    }
    struct reply reply;
    ask_at(metadata, 0, GET("/latest/meta-data/nul", ""), &reply);
    assert_int_equal(reply.body_length, 3);
    assert_memory_equal(reply.body, "x\0y", 3);
    assert_non_null(strstr(reply.text, "Content-Type: text/plain\r\n"));
    metadata_destroy(metadata);
}

static void test_json(void **state)
{
    struct metadata *metadata = make(METADATA_V1, false);
    struct reply reply;
    (void)state;
    expect(metadata, GET("/latest/Limits", JSON), 200, "{\"CPU\":512}");
    expect(metadata, GET("/latest/Limits/CPU", JSON), 200, "512");
    expect(metadata, GET("/latest/Usage/CPU", JSON), 200, "12.5");
    expect(metadata, GET("/latest/meta-data/ami-id", JSON), 200, "\"ami-12345678\"");
    expect(metadata,
           GET("/latest/meta-data/dummy_array", "Accept: text/html;q=1, APPLICATION/JSON"
                                                ";q=0.5\r\n"),
           200, "[\"arr_val1\",\"arr_val2\"]");
    expect(metadata, GET("/latest", "Accept: image/png\r\n"), 400,
           "Invalid header. Reason: Unsupported value. Key:Accept; Value:image/png");
    ask_at(metadata, 0, GET("/latest", JSON), &reply);
    assert_non_null(strstr(reply.text, "Content-Type: application/json\r\n"));
    metadata_destroy(metadata);

    /* imds_compat: as EC2 answers, whatever is accepted. */
    metadata = make(METADATA_V1, true);
    expect(metadata, GET("/latest", JSON), 200, "Limits/\nUsage/\nmeta-data/");
    expect(metadata, GET("/latest/Limits", "Accept: image/png\r\n"), 200, "CPU");
    metadata_destroy(metadata);
}

static void test_empty_store(void **state)
{
    struct metadata *metadata = metadata_create(100, NULL);
    (void)state;
    expect(metadata, GET("/", JSON), 200, "null");
    expect(metadata, GET("/", ""), 501,
           "Cannot retrieve value. The value has an unsupported type.");
    expect(metadata, GET("/a", JSON), 404, "Resource not found: /a.");
    metadata_destroy(metadata);
}

#define PUT(path, headers) "PUT " path " HTTP/1.1\r\nHost: 169.254.169.254\r\n" headers "\r\n"
#define TTL(seconds) "X-metadata-token-ttl-seconds: " seconds "\r\n"

static void take_token(struct metadata *metadata, int64_t now, const char *request, char token[128])
{
    struct reply reply;
    ask_at(metadata, now, request, &reply);
    assert_int_equal(reply.status, 200);
    assert_true(reply.body_length > 0 && reply.body_length < 128);
    strcpy(token, reply.body);
}

static int get_with_token(struct metadata *metadata, int64_t now, const char *name,
                          const char *token)
{
    struct reply reply;
    char *request =
        memory_format("GET /latest/meta-data/ami-id HTTP/1.1\r\n%s: %s\r\n\r\n", name, token);
    ask_at(metadata, now, request, &reply);
    free(request);
    if (reply.status == 401)
        assert_string_equal(reply.body, "MMDS token not valid.");
    return reply.status;
}

static void test_tokens(void **state)
{
    struct metadata *metadata = make(METADATA_V2, false);
    char token[128], other[128];
    (void)state;
    expect(metadata, GET("/latest", ""), 401,
           "No MMDS token provided. Use `X-metadata-token` or `X-aws-ec2-metadata-token` header to "
           "specify the session token.");
    assert_int_equal(counters.rx_no_token.value, 1);
    expect(metadata, GET("/latest", "X-metadata-token: foo\r\n"), 401, "MMDS token not valid.");
    assert_int_equal(counters.rx_invalid_token.value, 1);
    take_token(metadata, 5000, PUT("/latest/api/token", TTL("60")), token);
    take_token(metadata, 5000,
               PUT("/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 1\r\n"), other);
    assert_string_not_equal(token, other);
    assert_int_equal(get_with_token(metadata, 5000, "x-METADATA-token", token), 200);
    assert_int_equal(get_with_token(metadata, 5000, "X-aws-ec2-metadata-token", other), 200);
    /* They end with their time. */
    assert_int_equal(get_with_token(metadata, 5999, "X-metadata-token", other), 200);
    assert_int_equal(get_with_token(metadata, 6000, "X-metadata-token", other), 401);
    assert_int_equal(get_with_token(metadata, 64999, "X-metadata-token", token), 200);
    assert_int_equal(get_with_token(metadata, 65000, "X-metadata-token", token), 401);
    token[0] = token[0] == '0' ? '1' : '0';
    assert_int_equal(get_with_token(metadata, 5000, "X-metadata-token", token), 401);
    struct reply reply;
    ask_at(metadata, 5000, PUT("/latest/api/token", TTL("21600")), &reply);
    assert_non_null(strstr(reply.text, "X-metadata-token-ttl-seconds: 21600\r\n"));
    metadata_destroy(metadata);

    /* V1 gives tokens and counts, but asks for none. */
    metadata = make(METADATA_V1, false);
    expect(metadata, GET("/latest/meta-data/ami-id", "X-metadata-token: foo\r\n"), 200,
           "ami-12345678");
    assert_int_equal(counters.rx_invalid_token.value, 1);
    take_token(metadata, 5000, PUT("/latest/api/token", TTL("60")), token);
    assert_int_equal(get_with_token(metadata, 5000, "X-metadata-token", token), 200);
    assert_int_equal(counters.rx_invalid_token.value, 1);
    metadata_destroy(metadata);
}

/* A guest that asks for many gets them, and the oldest give way; nothing grows. */
static void test_many_tokens(void **state)
{
    struct metadata *metadata = make(METADATA_V2, false);
    char first[128], last[128];
    (void)state;
    take_token(metadata, 0, PUT("/latest/api/token", TTL("60")), first);
    for (int i = 1; i <= 256; i++)
        take_token(metadata, i, PUT("/latest/api/token", TTL("60")), last);
    assert_int_equal(get_with_token(metadata, 300, "X-metadata-token", first), 401);
    assert_int_equal(get_with_token(metadata, 300, "X-metadata-token", last), 200);
    metadata_destroy(metadata);
}

static void test_bad_puts(void **state)
{
    struct metadata *metadata = make(METADATA_V2, false);
    (void)state;
    expect(metadata, PUT("/latest/api/token", ""), 400,
           "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
           "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime.");
    expect(metadata, PUT("/", "X-Forwarded-For: foo\r\n"), 400,
           "Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For");
    expect(metadata, PUT("/latest/api/toke", TTL("60")), 404,
           "Resource not found: /latest/api/toke.");
    expect(metadata, PUT("/latest/api/token/", TTL("60")), 404,
           "Resource not found: /latest/api/token/.");
    static const char *const ttls[] = {"0", "21601", "-1", "1x", "99999999999999999999", "0x10"};
    for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
        char *request =
            memory_format("PUT /latest/api/token HTTP/1.1\r\n" TTL("%s") "\r\n", ttls[i]);
        char *body = memory_format("Invalid time to live value provided for token: %s. Please "
                                   "provide a value between 1 and 21600.",
                                   ttls[i]);
        expect(metadata, request, 400, body);
        free(request);
        free(body);
    }
    metadata_destroy(metadata);
}

static void test_bad_requests(void **state)
{
    struct metadata *metadata = make(METADATA_V1, false);
    struct reply reply;
    (void)state;
    static const char *const malformed[] = {
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/2\r\n\r\n",
        "GET / HTTP/1.1 x\r\n\r\n",
        "GET latest HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 100\r\nAccept: application/json\r\n\r\nsome body",
        "PUT / HTTP/1.1\r\nContent-Length: 100\r\n\r\nsome body",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        ask_at(metadata, 0, malformed[i], &reply);
        assert_int_equal(reply.status, 400);
        assert_non_null(strstr(reply.body, "Invalid request"));
        assert_true(reply.close);
    }
    static const char *const methods[] = {"POST", "DELETE", "PATCH", "HEAD", "get", "G"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char *request = memory_format("%s / HTTP/1.1\r\n\r\n", methods[i]);
        ask_at(metadata, 0, request, &reply);
        assert_int_equal(reply.status, 405);
        assert_non_null(strstr(reply.text, "Allow: GET, PUT\r\n"));
        free(request);
    }
    /* A head without an end is answered as soon as it is too long. */
    static char endless[METADATA_MAX_REQUEST];
    struct metadata_response response;
    memset(endless, 'a', sizeof endless);
    assert_int_equal(metadata_respond(metadata, endless, sizeof endless - 1, 0, &response), 0);
    assert_int_equal(metadata_respond(metadata, endless, sizeof endless, 0, &response),
                     sizeof endless);
    assert_true(response.close);
    free(response.bytes);
    /* So is one with a NUL. */
    static const char nul[] = "GET /\0 HTTP/1.1\r\n\r\n";
    assert_int_equal(metadata_respond(metadata, nul, sizeof nul - 1, 0, &response), sizeof nul - 1);
    assert_memory_equal(response.bytes, "HTTP/1.1 400 ", 13);
    free(response.bytes);
    metadata_destroy(metadata);
}

/* Two requests at once are answered one by one. */
static void test_pipelining(void **state)
{
    struct metadata *metadata = make(METADATA_V1, false);
    struct metadata_response response;
    static const char two[] = "GET /latest/Limits HTTP/1.1\r\n\r\nGET /none HTTP/1.1\n\n";
    (void)state;
    size_t used = metadata_respond(metadata, two, strlen(two), 0, &response);
    assert_int_equal(used, strlen("GET /latest/Limits HTTP/1.1\r\n\r\n"));
    assert_memory_equal(response.bytes, "HTTP/1.1 200 ", 13);
    free(response.bytes);
    used = metadata_respond(metadata, two + used, strlen(two) - used, 0, &response);
    assert_int_equal(used, strlen("GET /none HTTP/1.1\n\n"));
    assert_memory_equal(response.bytes, "HTTP/1.1 404 ", 13);
    free(response.bytes);
    metadata_destroy(metadata);
}

/* In the shape that the network device calls. */
static void test_answerer(void **state)
{
    struct metadata *metadata = make(METADATA_V1, false);
    size_t taken = 7, size = 7;
    bool close = true;
    (void)state;
    assert_null(metadata_answer(metadata, "GET ", 4, &taken, &size, &close));
    assert_true(taken == 0 && size == 0 && !close);
    static const char request[] = "GET /latest/Limits HTTP/1.1\r\n\r\nGET";
    char *response = metadata_answer(metadata, request, strlen(request), &taken, &size, &close);
    assert_int_equal(taken, strlen(request) - 3);
    assert_memory_equal(response + size - 3, "CPU", 3);
    free(response);
    metadata_destroy(metadata);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_patch),  cmocka_unit_test(test_limit),
        cmocka_unit_test(test_plain_text),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_empty_store),  cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_many_tokens),  cmocka_unit_test(test_bad_puts),
        cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_answerer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
