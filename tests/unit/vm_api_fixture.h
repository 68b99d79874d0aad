/* A control with a fake machine below it, served on a Unix socket by a loop in another thread; and
 * a client that speaks HTTP byte by byte. */
#ifndef HULL_TESTS_VM_API_FIXTURE_H
#define HULL_TESTS_VM_API_FIXTURE_H

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "vm/control/control.h"
#include "vm/control/handover.h"
#include "vm/control/http.h"
#include "vm/control/log.h"

struct fixture {
    char directory[64], socket[96];
    struct loop loop;
    struct handover handover;
    struct metrics *metrics;
    struct control *control;
    struct api_server *server;
    pthread_t thread;
    int connection;
    /* What the fake machine was told last, and whether it refuses. */
    char told[512];
    bool refuses;
};

struct answer {
    unsigned status;
    char head[1024];
    char body[65536];
};

/* ---- the fake machine ---- */

static int tell(void *context, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int tell(void *context, struct error *err, const char *format, ...)
{
    struct fixture *fixture = context;
    va_list args;
    va_start(args, format);
    vsnprintf(fixture->told, sizeof fixture->told, format, args);
    va_end(args);
    return fixture->refuses ? error_set(err, 0, "the machine refuses") : 0;
}

static int fake_start(void *context, const struct vm_settings *settings, struct error *err)
{
    return tell(context, err, "start %u vcpus %llu MiB %s", settings->machine.vcpu_count,
                (unsigned long long)settings->machine.mem_size_mib, settings->boot.kernel_path);
}

static int fake_pause(void *context, struct error *err)
{
    return tell(context, err, "pause");
}

static int fake_resume(void *context, struct error *err)
{
    return tell(context, err, "resume");
}

static int fake_keys(void *context, struct error *err)
{
    return tell(context, err, "ctrl-alt-del");
}

static int fake_update_drive(void *context, const char *id, const char *path,
                             const struct limiter_settings *limiter, struct error *err)
{
    return tell(context, err, "update drive %s %s %d%d %llu", id, path ? path : "-",
                limiter->bandwidth.given, limiter->ops.given,
                (unsigned long long)limiter->bandwidth.size);
}

static int fake_update_interface(void *context, const char *id, const struct limiter_settings *rx,
                                 const struct limiter_settings *tx, struct error *err)
{
    return tell(context, err, "update interface %s %d%d %llu", id, rx->given, tx->given,
                (unsigned long long)tx->ops.refill_time_ms);
}

static int fake_update_pmem(void *context, const char *id, const struct limiter_settings *limiter,
                            struct error *err)
{
    return tell(context, err, "update pmem %s %llu", id, (unsigned long long)limiter->ops.size);
}

static int fake_attach_drive(void *context, const struct drive_settings *drive, struct error *err)
{
    return tell(context, err, "attach drive %s %s", drive->id, drive->path);
}

static int fake_attach_interface(void *context, const struct interface_settings *interface,
                                 struct error *err)
{
    return tell(context, err, "attach interface %s %s", interface->id, interface->host_device);
}

static int fake_attach_pmem(void *context, const struct pmem_settings *pmem, struct error *err)
{
    return tell(context, err, "attach pmem %s", pmem->id);
}

static int fake_detach_drive(void *context, const char *id, struct error *err)
{
    return tell(context, err, "detach drive %s", id);
}

static int fake_detach_interface(void *context, const char *id, struct error *err)
{
    return tell(context, err, "detach interface %s", id);
}

static int fake_detach_pmem(void *context, const char *id, struct error *err)
{
    return tell(context, err, "detach pmem %s", id);
}

static int fake_amount(void *context, uint32_t amount_mib, struct error *err)
{
    return tell(context, err, "balloon %u", amount_mib);
}

static int fake_interval(void *context, uint32_t seconds, struct error *err)
{
    return tell(context, err, "interval %u", seconds);
}

static int fake_statistics(void *context, struct balloon_statistics *out, struct error *err)
{
    *out = (struct balloon_statistics){.target_pages = 1024, .actual_pages = 512};
    out->guest.present = 1u << BALLOON_FREE_MEMORY | 1u << BALLOON_DIRECT_RECLAIM;
    out->guest.value[BALLOON_FREE_MEMORY] = 12345;
    out->guest.value[BALLOON_DIRECT_RECLAIM] = UINT64_MAX;
    return tell(context, err, "statistics");
}

static int fake_start_hinting(void *context, bool acknowledge, struct error *err)
{
    return tell(context, err, "hinting %d", acknowledge);
}

static int fake_hinting(void *context, struct balloon_hinting *out, struct error *err)
{
    *out =
        (struct balloon_hinting){.host_command = 2, .has_guest_command = true, .guest_command = 1};
    return tell(context, err, "hinting status");
}

static int fake_stop_hinting(void *context, struct error *err)
{
    return tell(context, err, "hinting stop");
}

static int fake_hotplug(void *context, uint32_t size, struct error *err)
{
    return tell(context, err, "hotplug %u", size);
}

static int fake_hotplug_status(void *context, struct memory_hotplug_status *out, struct error *err)
{
    *out = (struct memory_hotplug_status){.plugged_size_mib = 64, .requested_size_mib = 512};
    return tell(context, err, "hotplug status");
}

static const struct control_operations fake_operations = {
    .start = fake_start,
    .pause = fake_pause,
    .resume = fake_resume,
    .send_ctrl_alt_del = fake_keys,
    .update_drive = fake_update_drive,
    .update_interface = fake_update_interface,
    .update_pmem = fake_update_pmem,
    .attach_drive = fake_attach_drive,
    .attach_interface = fake_attach_interface,
    .attach_pmem = fake_attach_pmem,
    .detach_drive = fake_detach_drive,
    .detach_interface = fake_detach_interface,
    .detach_pmem = fake_detach_pmem,
    .set_balloon_amount = fake_amount,
    .set_balloon_interval = fake_interval,
    .get_balloon_statistics = fake_statistics,
    .start_balloon_hinting = fake_start_hinting,
    .get_balloon_hinting = fake_hinting,
    .stop_balloon_hinting = fake_stop_hinting,
    .set_hotplug_size = fake_hotplug,
    .get_hotplug_status = fake_hotplug_status,
};

/* ---- the server ---- */

static void *turn_loop(void *argument)
{
    loop_run(argument);
    return NULL;
}

static void end_loop(void *argument)
{
    ((struct loop *)argument)->done = true;
}

/* A file in the fixture's directory, which is the current one. */
static inline void make_file(const char *name, const char *content)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, content, strlen(content)), 0);
    close(fd);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void fixture_begin(struct fixture *fixture, bool pci, size_t body_limit,
                          size_t metadata_limit)
{
    struct error err;
    *fixture = (struct fixture){.directory = "/tmp/hull-vm-api-XXXXXX"};
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(chdir(fixture->directory), 0);
    snprintf(fixture->socket, sizeof fixture->socket, "%s/api", fixture->directory);
    make_file("kernel", "kernel");
    make_file("disk", "disk");
    make_file("other", "other");
    make_file("empty", "");
    assert_int_equal(loop_open(&fixture->loop, &err), 0);
    assert_int_equal(handover_open(&fixture->handover, &fixture->loop, &err), 0);
    fixture->metrics = metrics_create();
    struct control_options options = {
        .id = "vm-1", .pci = pci, .metadata_limit = metadata_limit, .metrics = fixture->metrics};
    log_initialize("vm-1", &metrics_of(fixture->metrics)->logger);
    make_file("log", "");
    struct logger_settings logger = {.path = (char *)(uintptr_t) "log",
                                     .level_given = true,
                                     .level = LOG_LEVEL_INFO,
                                     .show_level_given = true,
                                     .show_level = true,
                                     .show_origin_given = true,
                                     .show_origin = true};
    assert_int_equal(log_configure(&logger, &err), 0);
    fixture->control = control_create(&fixture->loop, &options, &fake_operations, fixture);
    struct api_server_options server = {.socket_path = fixture->socket, .body_limit = body_limit};
    assert_int_equal(
        api_server_start(&fixture->server, fixture->control, &fixture->handover, &server, &err), 0);
    assert_int_equal(pthread_create(&fixture->thread, NULL, turn_loop, &fixture->loop), 0);
    fixture->connection = connect_to(fixture->socket);
}

static void fixture_end(struct fixture *fixture)
{
    struct error err;
    close(fixture->connection);
    assert_int_equal(handover_call(&fixture->handover, end_loop, &fixture->loop), 0);
    pthread_join(fixture->thread, NULL);
    api_server_stop(fixture->server);
    assert_int_equal(access(fixture->socket, F_OK), -1);
    control_destroy(fixture->control);
    handover_release(&fixture->handover);
    log_close();
    metrics_destroy(fixture->metrics);
    loop_close(&fixture->loop);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(remove_tree(AT_FDCWD, fixture->directory, NULL, &err), 0);
}

/* ---- the client ---- */

static void send_bytes(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Reads one answer. */
static void read_answer(int fd, struct answer *answer)
{
    size_t have = 0, length = 0;
    *answer = (struct answer){0};
    while (!strstr(answer->head, "\r\n\r\n")) {
        assert_true(have + 1 < sizeof answer->head);
        assert_int_equal(recv(fd, answer->head + have, 1, 0), 1);
        have++;
    }
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %u", &answer->status), 1);
    const char *field = strcasestr(answer->head, "Content-Length:");
    if (field)
        length = strtoul(field + strlen("Content-Length:"), NULL, 10);
    assert_true(length < sizeof answer->body);
    for (have = 0; have < length;) {
        ssize_t got = recv(fd, answer->body + have, length - have, 0);
        assert_true(got > 0);
        have += (size_t)got;
    }
}

static void ask(struct fixture *fixture, const char *method, const char *path, const char *body,
                struct answer *answer)
{
    size_t length = body ? strlen(body) : 0;
    char *request = length
                        ? memory_format("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                                        "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                        method, path, length, body)
                        : memory_format("%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path);
    send_bytes(fixture->connection, request, strlen(request));
    free(request);
    read_answer(fixture->connection, answer);
}

/* The answer has the status, and its body contains text (NULL: is empty). */
static void expect(struct fixture *fixture, const char *method, const char *path, const char *body,
                   unsigned status, const char *text)
{
    struct answer answer;
    ask(fixture, method, path, body, &answer);
    bool fits = text ? strstr(answer.body, text) != NULL : !*answer.body;
    if (answer.status != status || !fits)
        fail_msg("%s %s %s: got %u %s, expected %u %s", method, path, body ? body : "",
                 answer.status, answer.body, status, text ? text : "");
    if (status >= 400) {
        json_t *document = json_loads(answer.body, 0, NULL);
        assert_non_null(json_string_value(json_object_get(document, "fault_message")));
        assert_int_equal(json_object_size(document), 1);
        json_decref(document);
    }
}

struct exchange {
    const char *method, *path, *body;
    unsigned status;
    const char *text;
};

static inline void expect_all(struct fixture *fixture, const struct exchange *exchanges,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(fixture, exchanges[i].method, exchanges[i].path, exchanges[i].body,
               exchanges[i].status, exchanges[i].text);
}

static inline void expect_same(struct fixture *fixture, const char *path, const char *expected)
{
    struct answer answer;
    ask(fixture, "GET", path, NULL, &answer);
    json_t *document = json_loads(answer.body, 0, NULL), *wanted = json_loads(expected, 0, NULL);
    assert_int_equal(answer.status, 200);
    assert_non_null(wanted);
    if (!json_equal(document, wanted))
        fail_msg("GET %s: got %s, expected %s", path, answer.body, expected);
    json_decref(document);
    json_decref(wanted);
}

#define EXPECT_ALL(fixture, exchanges)                                                             \
    expect_all(fixture, exchanges, sizeof(exchanges) / sizeof *(exchanges))

/* ---- what most tests begin with ---- */

#define TOO_EARLY "The requested operation is not supported before starting the microVM."
#define TOO_LATE "The requested operation is not supported after starting the microVM."
#define DESERIALIZING "An error occurred when deserializing the json body of a request: "

static inline int begin(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 51200, 51200);
    *state = fixture;
    return 0;
}

static inline int begin_pci(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, true, 51200, 51200);
    *state = fixture;
    return 0;
}

static inline int begin_small(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 250, 100);
    *state = fixture;
    return 0;
}

static inline int begin_large(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    fixture_begin(fixture, false, 2 << 20, 2 << 20);
    *state = fixture;
    return 0;
}

static inline int end(void **state)
{
    fixture_end(*state);
    free(*state);
    return 0;
}

static inline void start(struct fixture *fixture)
{
    expect(fixture, "PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\"}", 204, NULL);
    expect(fixture, "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 204, NULL);
}

#endif
