/* What the host may ask for: a table of names and functions. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define REPLIES_LATER ((json_t *)-1)

/* The reply; NULL with err; or REPLIES_LATER, where the connection is somebody's now. */
typedef json_t *request_function(struct connection *connection, json_t *document,
                                 struct error *err);

static const char *text_of(const json_t *document, const char *key)
{
    return json_string_value(json_object_get(document, key));
}

static int64_t number_of(const json_t *document, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(document, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static json_t *hello(struct connection *connection, json_t *document, struct error *err)
{
    struct utsname name = {0};
    (void)document;
    (void)err;
    uname(&name);
    return json_pack("{s:i, s:s, s:s, s:b, s:b}", "version", AGENT_VERSION, "agent", HULL_VERSION,
                     "kernel", name.release, "booted", connection->guest->is_booted, "running",
                     connection->guest->container != NULL);
}

static int set_clock(const struct guest *guest, int64_t time, struct error *err)
{
    struct timespec value = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    if (time <= 0)
        return error_set(err, EINVAL, "clock: expected nanoseconds since 1970");
    /* A test's namespaces share the machine's clock. */
    if (guest->is_machine && clock_settime(CLOCK_REALTIME, &value) < 0)
        return error_set(err, errno, "can't set the clock");
    return 0;
}

static json_t *boot(struct connection *connection, json_t *document, struct error *err)
{
    int64_t time = number_of(document, "clock", 0);
    if ((time && set_clock(connection->guest, time, err) < 0) ||
        boot_take(connection->guest, document, err) < 0)
        return NULL;
    return json_object();
}

static json_t *start(struct connection *connection, json_t *document, struct error *err)
{
    (void)document;
    return process_start(connection, NULL, NULL, false, err) < 0 ? NULL : REPLIES_LATER;
}

static json_t *exec(struct connection *connection, json_t *document, struct error *err)
{
    const char *id = text_of(document, "id");
    int result = process_start(connection, id ? id : "", json_object_get(document, "process"),
                               json_is_true(json_object_get(document, "detach")), err);
    return result < 0 ? NULL : REPLIES_LATER;
}

static json_t *attach(struct connection *connection, json_t *document, struct error *err)
{
    int64_t output = number_of(document, "output", 0), errors = number_of(document, "errors", 0);
    int result = process_attach(connection, text_of(document, "id"), (uint64_t)output,
                                (uint64_t)errors, err);
    return result < 0 ? NULL : REPLIES_LATER;
}

static json_t *send_signal(struct connection *connection, json_t *document, struct error *err)
{
    int result = process_signal(connection->guest, text_of(document, "id"),
                                (int)number_of(document, "signal", -1), err);
    return result < 0 ? NULL : json_object();
}

static json_t *resize(struct connection *connection, json_t *document, struct error *err)
{
    struct agent_size size = {(uint16_t)number_of(document, "rows", 0),
                              (uint16_t)number_of(document, "columns", 0)};
    int result = process_resize(connection->guest, text_of(document, "id"), size, err);
    return result < 0 ? NULL : json_object();
}

static json_t *stats(struct connection *connection, json_t *document, struct error *err)
{
    (void)document;
    return stats_read(connection->guest, err);
}

static json_t *processes(struct connection *connection, json_t *document, struct error *err)
{
    (void)document;
    return stats_list_processes(connection->guest, err);
}

static json_t *stat_file(struct connection *connection, json_t *document, struct error *err)
{
    return copy_start(connection, document, COPY_STAT, err) < 0 ? NULL : REPLIES_LATER;
}

static json_t *copy_out(struct connection *connection, json_t *document, struct error *err)
{
    return copy_start(connection, document, COPY_OUT, err) < 0 ? NULL : REPLIES_LATER;
}

static json_t *copy_in(struct connection *connection, json_t *document, struct error *err)
{
    return copy_start(connection, document, COPY_IN, err) < 0 ? NULL : REPLIES_LATER;
}

static json_t *clock_set(struct connection *connection, json_t *document, struct error *err)
{
    int result = set_clock(connection->guest, number_of(document, "time", 0), err);
    return result < 0 ? NULL : json_object();
}

static json_t *shut_down(struct connection *connection, json_t *document, struct error *err)
{
    int64_t signal = number_of(document, "signal", SIGTERM);
    int64_t grace = number_of(document, "grace", 10000);
    if (signal < 0 || signal >= NSIG || grace < 0) {
        error_set(err, EINVAL, "shutdown: no such signal, or a negative grace");
        return NULL;
    }
    /* The answer first: afterwards there may be nobody to send it. */
    connection_reply(connection, json_object());
    shutdown_begin(connection->guest, (int)signal, grace,
                   json_is_true(json_object_get(document, "restart")));
    return REPLIES_LATER;
}

static const struct {
    const char *name;
    request_function *function;
} requests[] = {
    {"hello", hello},         {"boot", boot},          {"start", start},       {"exec", exec},
    {"attach", attach},       {"signal", send_signal}, {"resize", resize},     {"stats", stats},
    {"processes", processes}, {"stat", stat_file},     {"copy-out", copy_out}, {"copy-in", copy_in},
    {"clock", clock_set},     {"shutdown", shut_down},
};

static json_t *serve(struct connection *connection, json_t *document, struct error *err)
{
    const char *name = text_of(document, "request");
    int64_t version = number_of(document, "version", -1);
    if (version != AGENT_VERSION || !name) {
        error_set(err, EPROTO, "the agent speaks version %d of its protocol, not %lld",
                  AGENT_VERSION, (long long)version);
        return NULL;
    }
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(requests[i].name, name) == 0)
            return requests[i].function(connection, document, err);
    }
    error_set(err, EPROTO, "the agent knows no request '%s'", name);
    return NULL;
}

void request_serve(struct connection *connection, const char *text, size_t length)
{
    struct error err = {0};
    json_t *document = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL), *reply = NULL;
    if (!json_is_object(document))
        error_set(&err, EPROTO, "the request is no JSON object");
    else
        reply = serve(connection, document, &err);
    if (!reply)
        connection_fail(connection, &err);
    else if (reply != REPLIES_LATER)
        connection_reply(connection, reply);
    json_decref(document);
}
