/* Verbs that ask a machine's keeper, or its agent, and print what they say. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/signals.h"
#include "monitor/document.h"
#include "oci/verb/output.h"
#include "vm/agent/agent.h"
#include "vm/runtime/control.h"
#include "vm/runtime/record.h"
#include "vm/runtime/verb.h"

#define KEEPER_MS 60000
#define AGENT_MS 10000

static int ask(const struct verb_context *context, const char *word, int timeout, struct error *err)
{
    scope_record struct record record = {0};
    if (record_require(&record, context->root, context->id, err) < 0)
        return -1;
    scope_free char *path = record_control_path(&record);
    return control_ask(path, word, timeout, NULL, err);
}

/* It includes the boot, whose time the keeper limits. */
int verb_start(const struct verb_context *context, struct error *err)
{
    return ask(context, "start", -1, err);
}

int verb_pause(const struct verb_context *context, struct error *err)
{
    return ask(context, "pause", KEEPER_MS, err);
}

int verb_resume(const struct verb_context *context, struct error *err)
{
    return ask(context, "resume", KEEPER_MS, err);
}

/* The keeper passes it on; SIGKILL ends it, and with it the machine. */
int verb_kill(const struct verb_context *context, struct error *err)
{
    scope_record struct record record = {0};
    const char *name = context->line->argument_count > 1 ? context->line->arguments[1] : "TERM";
    int number = signals_parse(name);
    if (number < 0)
        return error_set(err, 0, "unknown signal '%s'", name);
    if (record_require(&record, context->root, context->id, err) < 0)
        return -1;
    if (!record_is_alive(&record))
        return error_set(err, ESRCH, "the machine doesn't run");
    return kill(record.keeper, number) < 0 ? error_set(err, errno, "can't signal the machine") : 0;
}

int verb_state(const struct verb_context *context, struct error *err)
{
    scope_record struct record record = {0};
    char answer[CONTROL_ANSWER_SIZE] = "stopped";
    if (record_require(&record, context->root, context->id, err) < 0)
        return -1;
    scope_free char *path = record_control_path(&record);
    bool is_alive = record_is_alive(&record);
    if (is_alive && control_ask(path, "state", KEEPER_MS, answer, err) < 0)
        return -1;
    json_t *state = json_pack("{s:s, s:s, s:s, s:s}", "ociVersion", "1.2.0", "id", record.id,
                              "status", answer, "bundle", record.bundle);
    if (is_alive)
        json_object_set_new(state, "pid", json_integer(record.keeper));
    return output_json(state, JSON_INDENT(2), err);
}

/* ---- what the agent knows ---- */

static json_t *ask_agent(const struct verb_context *context, const char *request, struct error *err)
{
    scope_record struct record record = {0};
    if (record_require(&record, context->root, context->id, err) < 0)
        return NULL;
    if (!record_is_alive(&record)) {
        error_set(err, ESRCH, "the machine doesn't run");
        return NULL;
    }
    scope_free char *socket = memory_format("%s/jail/run/vsock", record.bundle);
    const struct agent_address address = {socket, AGENT_PORT};
    return agent_call(&address, request, NULL, AGENT_MS, err);
}

/* In the shape of runc's, with its interfaces' traffic. */
int verb_events(const struct verb_context *context, struct error *err)
{
    if (!command_given(context->line, "stats"))
        return error_set(err, 0, "give --stats: a machine has no other events");
    scope_json json_t *stats = ask_agent(context, "stats", err);
    if (!stats)
        return -1;
    json_t *data = json_pack(
        "{s:{s:{s:O?}}, s:{s:{s:O?, s:O?}}, s:{s:O?}, s:{s:[{s:s, s:O?}, {s:s, s:O?}]}, "
        "s:[{s:s, s:O?, s:O?}]}",
        "cpu", "usage", "total", json_object_get(stats, "cpu"), "memory", "usage", "usage",
        json_object_get(stats, "memory"), "limit", json_object_get(stats, "memoryLimit"), "pids",
        "current", json_object_get(stats, "pids"), "blkio", "ioServiceBytesRecursive", "op", "Read",
        "value", json_object_get(stats, "blockRead"), "op", "Write", "value",
        json_object_get(stats, "blockWritten"), "network_interfaces", "Name", "guest", "RxBytes",
        json_object_get(stats, "received"), "TxBytes", json_object_get(stats, "sent"));
    if (!data)
        return error_set(err, 0, "the guest's agent told of statistics that can't be read");
    return output_json(
        json_pack("{s:s, s:s, s:o}", "type", "stats", "id", context->id, "data", data),
        JSON_COMPACT, err);
}

static void print_time(uint64_t nanoseconds)
{
    uint64_t seconds = nanoseconds / 1000000000;
    printf("%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " ", seconds / 3600, seconds / 60 % 60,
           seconds % 60);
}

/* A guest may say anything: what would be an order to a terminal is shown as ?. */
static void print_text(const json_t *text, int width)
{
    const char *bytes = json_string_value(text);
    int length = 0;
    for (; bytes && bytes[length]; length++)
        putchar((unsigned char)bytes[length] < ' ' || bytes[length] == 0x7f ? '?' : bytes[length]);
    for (; length < width; length++)
        putchar(' ');
}

static long long number_of(const json_t *process, const char *key)
{
    return (long long)json_integer_value(json_object_get(process, key));
}

/* The columns of ps -ef, as the container sees its own processes. */
int verb_ps(const struct verb_context *context, struct error *err)
{
    const json_t *process;
    size_t i;
    scope_json json_t *reply = ask_agent(context, "processes", err);
    if (!reply)
        return -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%-10s %7s %7s %-8s %-8s CMD\n", "UID", "PID", "PPID", "TTY", "TIME");
    json_array_foreach(json_object_get(reply, "processes"), i, process)
    {
        printf("%-10lld %7lld %7lld ", number_of(process, "uid"), number_of(process, "pid"),
               number_of(process, "parent"));
        print_text(json_object_get(process, "terminal"), 8);
        putchar(' ');
        print_time((uint64_t)number_of(process, "cpu"));
        print_text(json_object_get(process, "command"), 0);
        putchar('\n');
    }
    return output_finish(err);
}
