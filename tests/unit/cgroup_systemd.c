/* container/cgroup's systemd manager against a made-up systemd on a private bus: a dbus-daemon of
 * our own, and a process that owns org.freedesktop.systemd1, writes down each call, and answers
 * as systemd does. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "container/cgroup_bus.h"

#define FAKE_FUNCTIONS(X)                                                                          \
    X(sd_bus_open_system)                                                                          \
    X(sd_bus_request_name)                                                                         \
    X(sd_bus_add_filter)                                                                           \
    X(sd_bus_process)                                                                              \
    X(sd_bus_wait)                                                                                 \
    X(sd_bus_message_get_member)                                                                   \
    X(sd_bus_message_is_method_call)                                                               \
    X(sd_bus_message_read)                                                                         \
    X(sd_bus_message_rewind)                                                                       \
    X(sd_bus_message_dump)                                                                         \
    X(sd_bus_reply_method_return)                                                                  \
    X(sd_bus_reply_method_errorf)                                                                  \
    X(sd_bus_emit_signal)

static struct {
#define MEMBER(name) __typeof__(&name) name;
    FAKE_FUNCTIONS(MEMBER)
#undef MEMBER
} fake;

static char folder[64], log_path[96];
static pid_t daemon_pid, service_pid;
static const char *unavailable;

/* ---- the made-up systemd ---- */

static bool leftover_is_reset;

static int answer(sd_bus_message *message, void *data, sd_bus_error *error)
{
    sd_bus *bus = *(sd_bus **)data;
    const char *member = fake.sd_bus_message_get_member(message), *unit = "";
    (void)error;
    if (!member || !fake.sd_bus_message_is_method_call(message, NULL, NULL))
        return 0;
    if (strcmp(member, "Get") == 0)
        return fake.sd_bus_reply_method_return(message, "v", "s", "/user.slice/me");
    FILE *log = fopen(log_path, "a");
    fake.sd_bus_message_dump(message, log, SD_BUS_MESSAGE_DUMP_WITH_HEADER);
    fclose(log);
    fake.sd_bus_message_rewind(message, 1);
    fake.sd_bus_message_read(message, "s", &unit);
    bool start = strcmp(member, "StartTransientUnit") == 0;
    if (strcmp(member, "ResetFailedUnit") == 0 && strstr(unit, "leftover"))
        leftover_is_reset = true;
    if (start && strstr(unit, "leftover") && !leftover_is_reset)
        return fake.sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.UnitExists",
                                               "Unit %s exists.", unit);
    if (strcmp(member, "StopUnit") == 0 && strstr(unit, "absent"))
        return fake.sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.NoSuchUnit",
                                               "Unit %s not loaded.", unit);
    if (!start && strcmp(member, "StopUnit") != 0)
        return fake.sd_bus_reply_method_return(message, "");
    const char *job = "/org/freedesktop/systemd1/job/7";
    const char *result = strstr(unit, "doomed") ? "failed" : "done";
    /* Another's job ends first; and ours before the caller has the answer. */
    fake.sd_bus_emit_signal(bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                            "JobRemoved", "uoss", 6, "/org/freedesktop/systemd1/job/6", "x.service",
                            "canceled");
    fake.sd_bus_reply_method_return(message, "o", job);
    fake.sd_bus_emit_signal(bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                            "JobRemoved", "uoss", 7, job, unit, result);
    return 1;
}

static __attribute__((noreturn)) void be_systemd(int ready)
{
    sd_bus *bus = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fake.sd_bus_open_system(&bus) < 0 || fake.sd_bus_add_filter(bus, NULL, answer, &bus) < 0 ||
        fake.sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) < 0 ||
        write(ready, "x", 1) != 1)
        _exit(1);
    for (;;) {
        int result = fake.sd_bus_process(bus, NULL);
        if (result == 0)
            result = fake.sd_bus_wait(bus, UINT64_MAX);
        if (result < 0)
            _exit(2);
    }
}

static bool start_daemon(void)
{
    char config[128], address[128];
    snprintf(config, sizeof config, "%s/bus.conf", folder);
    snprintf(address, sizeof address, "unix:path=%s/socket", folder);
    FILE *file = fopen(config, "w");
    fprintf(file,
            "<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>"
            "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
            "<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            address);
    fclose(file);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    daemon_pid = fork();
    if (daemon_pid == 0) {
        char option[256], print[40];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(option, sizeof option, "--config-file=%s", config);
        snprintf(print, sizeof print, "--print-address=%d", ready[1]);
        close(ready[0]);
        execlp("dbus-daemon", "dbus-daemon", option, "--nofork", print, NULL);
        _exit(127);
    }
    close(ready[1]);
    char line[256];
    bool listening = read(ready[0], line, sizeof line) > 0;
    close(ready[0]);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
    return listening;
}

static int set_up_bus(void **state)
{
    (void)state;
    void *library = dlopen("libsystemd.so.0", RTLD_NOW);
    if (!library) {
        unavailable = "needs libsystemd.so.0";
        return 0;
    }
#define LOAD(name) *(void **)&fake.name = dlsym(library, #name);
    FAKE_FUNCTIONS(LOAD)
#undef LOAD
    strcpy(folder, "/tmp/cgroup-systemd-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(log_path, sizeof log_path, "%s/calls", folder);
    if (!start_daemon()) {
        unavailable = "needs dbus-daemon";
        return 0;
    }
    int ready[2];
    if (pipe(ready) < 0)
        return -1;
    service_pid = fork();
    if (service_pid == 0)
        be_systemd(ready[1]);
    close(ready[1]);
    char byte;
    int result = read(ready[0], &byte, 1) == 1 ? 0 : -1;
    close(ready[0]);
    return result;
}

static int tear_down_bus(void **state)
{
    (void)state;
    pid_t pids[2] = {service_pid, daemon_pid};
    for (int i = 0; i < 2; i++)
        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    char *command = memory_format("rm -rf '%s'", folder);
    int result = folder[0] ? system(command) : 0;
    free(command);
    return result;
}

/* ---- what was called: the dump without line breaks and with single spaces ---- */

static char *take_log(void)
{
    char *text = file_read_all(AT_FDCWD, log_path, 1 << 20, NULL, NULL);
    assert_non_null(text);
    char *to = text;
    for (char *from = text; *from; from++)
        if (!strchr(" \n\t", *from))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
    unlink(log_path);
    return text;
}

#define assert_called(LOG, TEXT)                                                                   \
    do {                                                                                           \
        if (!strstr(LOG, TEXT))                                                                    \
            fail_msg("no %s in\n%s", TEXT, LOG);                                                   \
    } while (0)

#define PROPERTY(NAME, TYPE, VALUE)                                                                \
    "STRUCT \"sv\" { STRING \"" NAME "\"; VARIANT \"" TYPE "\" { " VALUE " }; };"

static struct cgroup *new_cgroup(const char *path, const char *id, bool user)
{
    if (unavailable) {
        print_message("%s\n", unavailable);
        skip();
    }
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct error err;
    cgroup->mode = CGROUP_MODE_V2;
    cgroup->manager = CGROUP_MANAGER_SYSTEMD;
    cgroup->rootless = user;
    cgroup->count = 1;
    cgroup->hierarchies[0] = (struct cgroup_hierarchy){.v2 = true, .mount_point = "/fake"};
    if (cgroup_systemd_resolve(cgroup, path, id, &err) < 0)
        fail_msg("%s", err.text);
    return cgroup;
}

static void names_become_units_and_paths(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("a-b.slice:pre:name", "id", false);
    assert_string_equal(cgroup->systemd_unit, "pre-name.scope");
    assert_string_equal(cgroup->systemd_slice, "a-b.slice");
    assert_string_equal(cgroup->hierarchies[0].path, "/fake/a.slice/a-b.slice/pre-name.scope");
    free(cgroup);
    cgroup = new_cgroup(NULL, "id", false);
    assert_string_equal(cgroup->hierarchies[0].path, "/fake/system.slice/hull-id.scope");
    free(cgroup);
    cgroup = new_cgroup(":x:y", "id", true); /* below the user's own systemd */
    assert_string_equal(cgroup->hierarchies[0].path, "/fake/user.slice/me/user.slice/x-y.scope");
    struct error err;
    static const char *const wrong[] = {
        "/a/b", "a:b", "a.slice:b:c:d", "a.slice:b:x/../y", "../a.slice:b:c", "a.slice:b:"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(cgroup_systemd_resolve(cgroup, wrong[i], "id", &err), -1);
    free(cgroup);
}

static void a_scope_is_started_with_its_limits(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("m.slice:hull:one", "id", false);
    struct config_resources resources = {0};
    resources.memory.limit = (struct config_number){true, 1000};
    resources.memory.swap = (struct config_number){true, 1500};
    resources.memory.reservation = (struct config_number){true, 500};
    resources.cpu.has_shares = true;
    resources.cpu.shares = 1024;
    resources.cpu.quota = (struct config_number){true, 12345};
    resources.cpu.has_period = true;
    resources.cpu.period = 50000;
    resources.cpu.cpus = "1,8-9";
    resources.pids_limit = (struct config_number){true, 0};
    struct config_pair unified = {"memory.high", "777"};
    resources.unified = (struct config_pairs){1, &unified};
    struct config_pair annotations[] = {
        {"org.systemd.property.CollectMode", "'inactive-or-failed'"},
        {"org.systemd.property.TimeoutStopSec", "uint64 2"},
        {"org.systemd.property.RuntimeMaxSec", "1.5"},
        {"org.systemd.property.After", "['a.service', \"b\\'.target\"]"},
        {"org.systemd.property.SendSIGHUP", "true"},
        {"org.systemd.property.Before", "@as []"},
        {"org.systemd.property.TasksMax", "int32 -5"},
        {"something.else", "ignored"},
    };
    struct config *config = memory_allocate(1, sizeof *config);
    config->linux_section.resources = &resources;
    config->annotations = (struct config_pairs){8, annotations};
    struct error err;
    if (cgroup_systemd_start(cgroup, 4321, config, &err) < 0)
        fail_msg("%s", err.text);
    char *log = take_log();
    assert_called(log, "Member=StartTransientUnit");
    assert_called(log, "STRING \"hull-one.scope\"; STRING \"replace\";");
    assert_called(log, PROPERTY("Slice", "s", "STRING \"m.slice\";"));
    assert_called(log, PROPERTY("Delegate", "b", "BOOLEAN true;"));
    assert_called(log, PROPERTY("DefaultDependencies", "b", "BOOLEAN false;"));
    assert_called(log, PROPERTY("PIDs", "au", "ARRAY \"u\" { UINT32 4321; };"));
    assert_called(log, PROPERTY("IOAccounting", "b", "BOOLEAN true;"));
    assert_called(log, PROPERTY("MemoryMax", "t", "UINT64 1000;"));
    assert_called(log, PROPERTY("MemoryLow", "t", "UINT64 500;"));
    assert_called(log, PROPERTY("MemorySwapMax", "t", "UINT64 500;"));
    assert_called(log, PROPERTY("MemoryHigh", "t", "UINT64 777;"));
    assert_called(log, PROPERTY("CPUWeight", "t", "UINT64 100;"));
    assert_called(log, PROPERTY("CPUQuotaPeriodUSec", "t", "UINT64 50000;"));
    assert_called(log, PROPERTY("CPUQuotaPerSecUSec", "t", "UINT64 250000;")); /* 24.7 % */
    assert_called(log, PROPERTY("AllowedCPUs", "ay", "ARRAY \"y\" { BYTE 2; BYTE 3; };"));
    assert_called(log, PROPERTY("TasksMax", "t", "UINT64 1;"));
    assert_called(log, PROPERTY("DevicePolicy", "s", "STRING \"strict\";"));
    assert_called(log, "STRUCT \"ss\" { STRING \"/dev/char/1:3\"; STRING \"rwm\"; };");
    assert_called(log, "STRUCT \"ss\" { STRING \"char-136\"; STRING \"rwm\"; };");
    assert_called(log, "STRUCT \"ss\" { STRING \"block-*\"; STRING \"m\"; };");
    assert_called(log, PROPERTY("CollectMode", "s", "STRING \"inactive-or-failed\";"));
    assert_called(log, PROPERTY("TimeoutStopUSec", "t", "UINT64 2000000;"));
    assert_called(log, PROPERTY("RuntimeMaxUSec", "t", "UINT64 1500000;"));
    assert_called(log,
                  "VARIANT \"as\" { ARRAY \"s\" { STRING \"a.service\"; STRING \"b'.target\"; };");
    assert_called(log, PROPERTY("SendSIGHUP", "b", "BOOLEAN true;"));
    assert_called(log, PROPERTY("TasksMax", "i", "INT32 -5;"));
    assert_called(log, "STRING \"Before\"; VARIANT \"as\" { ARRAY \"s\" {");
    assert_null(strstr(log, "something"));
    free(log);

    static const char *const wrong[] = {"'open", "uint64 x", "[1, 'a']", "{}",
                                        "",      "true 5",   "byte -1",  "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        annotations[0].value = wrong[i];
        assert_int_equal(cgroup_systemd_start(cgroup, 1, config, &err), -1);
        assert_non_null(strstr(err.text, "CollectMode"));
    }
    free(config);
    free(cgroup);
}

static void on_v1_the_old_properties_are_used(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("m.slice:hull:old", "id", false);
    struct config_resources resources = {0};
    struct error err;
    cgroup->mode = CGROUP_MODE_HYBRID;
    resources.memory.limit = (struct config_number){true, -1};
    resources.cpu.has_shares = true;
    resources.cpu.shares = 512;
    resources.block.weight = (struct config_number){true, 300};
    if (cgroup_systemd_update(cgroup, &resources, &err) < 0)
        fail_msg("%s", err.text);
    char *log = take_log();
    assert_called(log, "Member=SetUnitProperties");
    assert_called(log, "STRING \"hull-old.scope\"; BOOLEAN true;");
    assert_called(log, PROPERTY("MemoryLimit", "t", "UINT64 18446744073709551615;"));
    assert_called(log, PROPERTY("CPUShares", "t", "UINT64 512;"));
    assert_called(log, PROPERTY("BlockIOWeight", "t", "UINT64 300;"));
    assert_null(strstr(log, "CPUQuotaPerSecUSec"));
    free(log);
    free(cgroup);
}

static void a_failed_leftover_is_reset_and_replaced(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("m.slice:hull:leftover", "id", false);
    struct error err;
    if (cgroup_systemd_start(cgroup, 5, NULL, &err) < 0)
        fail_msg("%s", err.text);
    char *log = take_log();
    assert_called(log, "Member=ResetFailedUnit");
    free(log);
    free(cgroup);
}

static void a_failed_job_is_an_error(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("m.slice:hull:doomed", "id", false);
    struct error err;
    assert_int_equal(cgroup_systemd_start(cgroup, 5, NULL, &err), -1);
    assert_string_equal(err.text,
                        "systemd can't start hull-doomed.scope: the job ended as 'failed'");
    free(cgroup);
}

static void removal_stops_the_unit_if_it_is_there(void **state)
{
    (void)state;
    struct cgroup *cgroup = new_cgroup("m.slice:hull:one", "id", false);
    struct error err = {0};
    if (cgroup_remove(cgroup, &err) < 0)
        fail_msg("%s", err.text);
    char *log = take_log();
    assert_called(log, "Member=StopUnit");
    assert_called(log, "STRING \"hull-one.scope\"; STRING \"replace\";");
    assert_called(log, "Member=ResetFailedUnit");
    free(log);
    free(cgroup);
    cgroup = new_cgroup("m.slice:hull:absent", "id", false);
    assert_int_equal(cgroup_systemd_stop(cgroup, &err), 0);
    free(cgroup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_units_and_paths),
        cmocka_unit_test(a_scope_is_started_with_its_limits),
        cmocka_unit_test(on_v1_the_old_properties_are_used),
        cmocka_unit_test(a_failed_leftover_is_reset_and_replaced),
        cmocka_unit_test(a_failed_job_is_an_error),
        cmocka_unit_test(removal_stops_the_unit_if_it_is_there),
    };
    return cmocka_run_group_tests(tests, set_up_bus, tear_down_bus);
}
