/* The agent of virtual machines, through its protocol: see vm_agent_fixture.h. */
#include "vm_agent_fixture.h"

static struct session main_session;

static int set_up(void **state)
{
    (void)state;
    make_directories();
    boot_guest(
        "trap 'echo got term; exit 7' TERM; echo ready; while :; do sleep 100 & wait $!; done");
    session_open(&main_session);
    main_session.process =
        agent_process_start(&main_session.loop, &address, TIMEOUT, &session_events, &main_session);
    main_session.stop_after = strlen("ready\n");
    session_run(&main_session);
    assert_string_equal(main_session.output[0], "ready\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    session_close(&main_session);
    remove_guest();
    return 0;
}

static void expect_refusal(const char *request, json_t *document, const char *reason)
{
    struct error err = {0};
    assert_null(agent_call(&address, request, document, TIMEOUT, &err));
    if (!strstr(err.text, reason))
        fail_msg("%s: '%s' has no '%s'", request, err.text, reason);
}

/* ---- requests ---- */

static void test_says_who_it_is(void **state)
{
    (void)state;
    json_t *reply = call("hello", NULL);
    assert_int_equal(json_integer_value(json_object_get(reply, "version")), AGENT_VERSION);
    assert_true(json_is_true(json_object_get(reply, "booted")));
    assert_true(json_is_true(json_object_get(reply, "running")));
    json_decref(reply);
}

static void test_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    expect_refusal("dance", NULL, "knows no request 'dance'");
    expect_refusal("boot", json_object(), "already");
    expect_refusal("signal", json_pack("{s:s, s:i}", "id", "nobody", "signal", 15), "nobody");
    expect_refusal("signal", json_pack("{s:i}", "signal", 1000), "signal 1000");
    expect_refusal("resize", json_pack("{s:i, s:i}", "rows", 1, "columns", 1), "process 'main'");
    expect_refusal("clock", NULL, "nanoseconds");
}

static void test_counts_what_is_used(void **state)
{
    (void)state;
    json_t *stats = call("stats", NULL);
    assert_true(json_integer_value(json_object_get(stats, "memory")) > 0);
    assert_true(json_integer_value(json_object_get(stats, "memoryLimit")) > 0);
    assert_true(json_integer_value(json_object_get(stats, "cpu")) > 0);
    assert_true(json_integer_value(json_object_get(stats, "pids")) >= 1);
    json_decref(stats);
}

static bool lists(const char *part, const char *key, json_int_t value)
{
    size_t i;
    json_t *reply = call("processes", NULL), *process;
    bool found = false;
    json_array_foreach(json_object_get(reply, "processes"), i, process)
    {
        const char *command = json_string_value(json_object_get(process, "command"));
        const json_t *member = json_object_get(process, key);
        assert_non_null(command);
        if (strstr(command, part) && (!member || json_integer_value(member) == value))
            found = true;
    }
    json_decref(reply);
    return found;
}

static void test_lists_processes(void **state)
{
    (void)state;
    assert_true(lists("trap", "innerPid", 1));
    assert_false(lists("no such", "pid", 0));
}

/* Children of the agent's, who is the child of the process that we started: the intermediate ones,
 * of transfers, and orphans. */
static void test_leaves_no_zombies(void **state)
{
    (void)state;
    expect("(sleep 0.01 &); true", "", 0);
    json_decref(call("stat", json_pack("{s:s}", "path", "/which")));
    run("read -r agent rest </proc/%d/task/%d/children; tries=0; "
        "while cat $(printf '/proc/%%s/status ' $(cat /proc/$agent/task/$agent/children)) "
        "2>/dev/null | "
        "grep -q 'State:.*Z'; do tries=$((tries+1)); [ $tries -lt 200 ] || exit 1; sleep 0.02; "
        "done",
        agent_pid, agent_pid);
}

static void test_takes_the_time(void **state)
{
    (void)state;
    json_decref(call("clock", json_pack("{s:I}", "time", (json_int_t)1700000000000000000)));
}

/* ---- what the container has ---- */

static void test_stacks_layers_under_a_disk(void **state)
{
    (void)state;
    expect("cat /which /only; echo new >/which; cat /which", "high\nlow\nnew\n", 0);
}

static void test_gives_files_names_and_mounts(void **state)
{
    (void)state;
    expect("cat /etc/hosts; hostname; stat -c %a /etc/secret",
           "127.0.0.1 localhost guest\nguest\n400\n", 0);
    expect("echo x >>/etc/secret", "", 1);
    expect("grep -c ' /run tmpfs rw,nodev' /proc/mounts", "1\n", 0);
    expect("test $$ -lt 1000 && test -d /proc/1 && ls /proc/1/ns >/dev/null && echo own", "own\n",
           0);
}

static void test_configures_the_network(void **state)
{
    (void)state;
    expect("ip addr show lo | grep -c -e 'inet 10.9.8.7/24' -e 'inet6 fd00::7/64'", "2\n", 0);
    expect("ip link show lo | grep -c 'mtu 4000'", "1\n", 0);
    expect("ip route | grep -c '10.1.0.0/16 via 10.9.8.1 dev lo'", "1\n", 0);
}

/* ---- processes ---- */

static void test_executes_with_status_and_streams(void **state)
{
    (void)state;
    struct session session = {0};
    exec_process(&session, make_process("echo out; echo err >&2; exit 42"));
    assert_string_equal(session.output[0], "out\n");
    assert_string_equal(session.output[1], "err\n");
    assert_int_equal(session.status, 42);
    assert_true(session.pid > 1);
    session_close(&session);
    expect("kill -9 $$", "", 137);
    expect("echo $NAME $HOME; pwd; ulimit -c >/dev/null", "value /root\n/\n", 0);
}

static void test_says_why_it_cannot_execute(void **state)
{
    (void)state;
    struct session session = {0};
    exec_process(&session, json_pack("{s:{}, s:[s], s:s}", "user", "args", "nothing", "cwd", "/"));
    assert_int_equal(session.err.code, ENOENT);
    assert_non_null(strstr(session.err.text, "executable file not found"));
    assert_false(session.is_lost);
    session_close(&session);
    session = (struct session){0};
    exec_process(&session, json_pack("{s:{}, s:[s], s:s}", "user", "args", "/etc", "cwd", "/"));
    assert_int_equal(session.err.code, EISDIR);
    session_close(&session);
    session = (struct session){0};
    exec_process(&session, json_pack("{s:[s]}", "args", "sh"));
    assert_non_null(strstr(session.err.text, "process: cwd"));
    session_close(&session);
}

static void expect_user(const char *username, const char *output)
{
    struct session session = {0};
    json_t *process = make_process("echo $(id -u):$(id -g):$(id -G):$HOME");
    json_object_set_new(process, "user", json_pack("{s:s}", "username", username));
    exec_process(&session, process);
    assert_string_equal(session.err.text, "");
    assert_string_equal(session.output[0], output);
    session_close(&session);
}

static void test_looks_users_up_inside(void **state)
{
    (void)state;
    expect_user("web", "33:34:34 77:/srv\n");
    expect_user("web:extra", "33:77:77:/srv\n");
    expect_user("33", "33:34:34 77:/srv\n");
    expect_user("1000:1001", "1000:1001:1001:/\n");
    struct session session = {0};
    json_t *process = make_process("true");
    json_object_set_new(process, "user", json_pack("{s:s}", "username", "ghost"));
    exec_process(&session, process);
    assert_non_null(strstr(session.err.text, "unable to find user ghost"));
    session_close(&session);
}

static void test_keeps_all_capabilities_unless_told(void **state)
{
    (void)state;
    struct session session = {0};
    json_t *process = make_process("grep CapEff /proc/self/status");
    json_object_set_new(process, "capabilities",
                        json_pack("{s:[s], s:[s], s:[s]}", "bounding", "CAP_KILL", "effective",
                                  "CAP_KILL", "permitted", "CAP_KILL"));
    exec_process(&session, process);
    assert_string_equal(session.output[0], "CapEff:\t0000000000000020\n");
    session_close(&session);
    expect("grep -c 'CapEff:.0*[1-9a-f][0-9a-f]*ff$' /proc/self/status", "1\n", 0);
}

static void test_sets_limits(void **state)
{
    (void)state;
    struct session session = {0};
    json_t *process = make_process("ulimit -n");
    json_object_set_new(
        process, "rlimits",
        json_pack("[{s:s, s:i, s:i}]", "type", "RLIMIT_NOFILE", "soft", 123, "hard", 456));
    exec_process(&session, process);
    assert_string_equal(session.output[0], "123\n");
    session_close(&session);
}

static void test_carries_much_input_and_output(void **state)
{
    (void)state;
    size_t length = 3 << 20;
    scope_free char *bytes = memory_allocate(1, length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 2654435761U >> 13);
    struct session session = {.input = bytes, .input_length = length};
    exec_process(&session, make_process("cat"));
    assert_int_equal(session.length[0], length);
    assert_memory_equal(session.output[0], bytes, length);
    assert_int_equal(session.status, 0);
    session_close(&session);
}

static void test_discards_input_nobody_reads(void **state)
{
    (void)state;
    size_t length = 1 << 20;
    scope_free char *bytes = memory_allocate(1, length);
    struct session session = {.input = bytes, .input_length = length};
    exec_process(&session, make_process("exec <&-; echo done"));
    assert_string_equal(session.output[0], "done\n");
    session_close(&session);
}

static void test_gives_a_terminal(void **state)
{
    (void)state;
    struct session session = {.rows = 33, .columns = 99};
    json_t *process =
        make_process("while [ \"$(stty size 2>/dev/null)\" != '33 99' ]; do sleep 0.01; done; "
                     "stty size; test -t 1 && test -t 0 && echo terminal");
    json_object_set_new(process, "terminal", json_true());
    exec_process(&session, process);
    assert_string_equal(session.err.text, "");
    assert_string_equal(session.output[0], "33 99\r\nterminal\r\n");
    session_close(&session);
    static const char interrupt[] = "\003";
    session = (struct session){.input = interrupt, .input_length = 1};
    process = make_process("sleep 100");
    json_object_set_new(process, "terminal", json_true());
    exec_process(&session, process);
    assert_int_equal(session.status, 130);
    session_close(&session);
}

static void test_background_children_do_not_hold_the_end(void **state)
{
    (void)state;
    expect("sleep 50 & echo early", "early\n", 0);
}

/* Nothing that it writes makes it wait, and its record goes with it. */
static void test_detached_processes_go_on_alone(void **state)
{
    (void)state;
    for (int terminal = 0; terminal < 2; terminal++) {
        json_t *process = make_process(
            "cat; yes | head -c 1000000; echo done >/tmp/detached; while test -e /tmp/detached; do "
            "sleep 0.01; done");
        json_object_set_new(process, "terminal", json_boolean(terminal));
        if (terminal)
            json_object_set_new(process, "args",
                                json_pack("[s, s, s]", "/bin/sh", "-c",
                                          "yes | head -c 1000000; echo done >/tmp/detached; while "
                                          "test -e /tmp/detached; do sleep 0.01; done"));
        json_decref(call(
            "exec", json_pack("{s:s, s:o, s:b}", "id", "alone", "process", process, "detach", 1)));
        expect("while ! test -s /tmp/detached; do sleep 0.01; done; cat /tmp/detached", "done\n",
               0);
        expect_refusal("exec",
                       json_pack("{s:s, s:o, s:b}", "id", "alone", "process", make_process("true"),
                                 "detach", 1),
                       "a process 'alone'");
        expect("mv /tmp/detached /tmp/gone", "", 0);
        struct error err = {0};
        json_t *reply = NULL;
        int64_t deadline = loop_now() + TIMEOUT;
        while (!strstr(err.text, "no process") && loop_now() < deadline) {
            json_decref(reply);
            reply = agent_call(&address, "signal",
                               json_pack("{s:s, s:i}", "id", "alone", "signal", 0), TIMEOUT, &err);
        }
        assert_null(reply);
        struct session session = {0};
        struct agent_process_progress progress = {0};
        session_open(&session);
        session.process = agent_process_attach(&session.loop, &address, "alone", &progress, TIMEOUT,
                                               &session_events, &session);
        session_run(&session);
        assert_non_null(strstr(session.err.text, "no process 'alone'"));
        session_close(&session);
    }
}

/* ---- lost connections ---- */

static void test_attaches_again_without_losing_a_byte(void **state)
{
    (void)state;
    struct session session = {.stop_after = 100000};
    session_open(&session);
    session.process = agent_process_exec(
        &session.loop, &address, "again",
        make_process("i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; exit 3"),
        TIMEOUT, &session_events, &session);
    session_run(&session);
    assert_false(session.has_ended);
    /* What came last wasn't acknowledged, but the caller has it: as one who moved to another host.
     */
    struct agent_process_progress progress = {.output = session.length[0]};
    session.stop_after = 0;
    session.process = agent_process_attach(&session.loop, &address, "again", &progress, TIMEOUT,
                                           &session_events, &session);
    session_run(&session);
    assert_string_equal(session.err.text, "");
    assert_int_equal(session.status, 3);
    const char *at = session.output[0];
    for (int i = 0; i < 60000; i++) {
        char line[32];
        int length = snprintf(line, sizeof line, "line %d\n", i);
        if (strncmp(at, line, (size_t)length) != 0)
            fail_msg("line %d is missing", i);
        at += length;
    }
    assert_int_equal(*at, '\0');
    /* It has been heard of, and is forgotten. */
    session.process = agent_process_attach(&session.loop, &address, "again", &progress, TIMEOUT,
                                           &session_events, &session);
    session_run(&session);
    assert_non_null(strstr(session.err.text, "no process 'again'"));
    session_close(&session);
}

/* ---- files ---- */

static int archive_fd(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int archive_fd(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    run("%s", command);
    scope_free char *path = memory_format("%s/in.tar", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_copies_trees_in_and_out(void **state)
{
    (void)state;
    struct error err = {0};
    scope_close int in = archive_fd(
        "mkdir -p %s/tree/a/b && cd %s && head -c 300000 /dev/urandom >tree/a/data && "
        "ln tree/a/data tree/a/twin && ln -s ../data tree/a/b/link && mkfifo tree/fifo && "
        "long=$(printf 'n%%0150d' 1) && echo long >tree/$long && chmod 4751 tree/$long && "
        "chown 12:34 tree/a && touch -d '2001-02-03 04:05:06.789' tree/a/b && tar -cf in.tar "
        "--format=pax tree",
        directory, directory);
    assert_int_equal(agent_copy_in(&address, "/tmp", NULL, in, TIMEOUT, &err), 0);
    expect("stat -c '%u:%g' /tmp/tree/a; stat -c %h /tmp/tree/a/twin; readlink /tmp/tree/a/b/link; "
           "stat -c '%a %F' /tmp/tree/n*; stat -c %F /tmp/tree/fifo",
           "12:34\n2\n../data\n4751 regular file\nfifo\n", 0);
    scope_free char *path = memory_format("%s/out.tar", directory);
    scope_close int out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    json_t *status = NULL;
    assert_int_equal(agent_copy_out(&address, "/tmp/tree", out, &status, TIMEOUT, &err), 0);
    assert_string_equal(json_string_value(json_object_get(status, "name")), "tree");
    assert_true(S_ISDIR((mode_t)json_integer_value(json_object_get(status, "mode"))));
    json_decref(status);
    /* The same archive, but for the order. */
    run("cd %s && mkdir back && tar -xf out.tar -C back && "
        "cmp tree/a/data back/tree/a/data && [ back/tree/a/data -ef back/tree/a/twin ] && "
        "(cd tree && find . -printf '%%p %%m %%U %%G %%T@ %%l %%y\\n' | sort) >1 && "
        "(cd back/tree && find . -printf '%%p %%m %%U %%G %%T@ %%l %%y\\n' | sort) >2 && "
        "diff 1 2",
        directory);
}

static void test_stays_in_the_container(void **state)
{
    (void)state;
    struct error err = {0};
    /* An archive that leads out of its directory is refused. */
    scope_close int in = archive_fd(
        "cd %s && echo x >x && tar -cPf in.tar --transform 's,^x,../../out,' x", directory);
    assert_int_equal(agent_copy_in(&address, "/tmp", NULL, in, TIMEOUT, &err), -1);
    assert_non_null(strstr(err.text, "leads out"));
    /* One that makes a link to follow writes where the container sees that place. */
    scope_close int link = archive_fd(
        "cd %s && rm -rf l && mkdir l && ln -s /root l/way && tar -cf in.tar -C l way && rm l/way "
        "&& "
        "mkdir l/way && echo in >l/way/hull-agent-file && tar -rf in.tar -C l way/hull-agent-file",
        directory);
    assert_int_equal(agent_copy_in(&address, "/tmp", NULL, link, TIMEOUT, &err), 0);
    expect("cat /root/hull-agent-file", "in\n", 0);
    assert_int_equal(access("/root/hull-agent-file", F_OK), -1);
    /* Paths of the host's. */
    expect("ln -s / /tmp/rootlink; mkdir -p /tmp/d && ln -s ../../../../../../.. /tmp/d/up", "", 0);
    json_t *reply = call("stat", json_pack("{s:s}", "path", "/tmp/d/up/which"));
    json_decref(reply);
    scope_free char *inside = memory_format("/tmp/d/up%s", directory);
    expect_refusal("stat", json_pack("{s:s}", "path", inside), "No such file");
    expect_refusal("copy-out", json_pack("{s:s}", "path", "/proc/1/root/../../.."), "");
}

static void test_damaged_archives_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    scope_close int noise =
        archive_fd("head -c 5000000 /dev/zero | tr '\\0' 'x' >%s/in.tar", directory);
    assert_int_equal(agent_copy_in(&address, "/tmp", NULL, noise, TIMEOUT, &err), -1);
    assert_non_null(strstr(err.text, "no tar archive"));
    scope_close int cut =
        archive_fd("cd %s && tar -cf full.tar low && head -c 100000 full.tar >in.tar", directory);
    assert_int_equal(agent_copy_in(&address, "/tmp", NULL, cut, TIMEOUT, &err), -1);
    assert_non_null(strstr(err.text, "in the middle"));
    scope_close int nowhere = archive_fd("cd %s && tar -cf in.tar x", directory);
    assert_int_equal(agent_copy_in(&address, "/nowhere", NULL, nowhere, TIMEOUT, &err), -1);
    assert_non_null(strstr(err.text, "/nowhere"));
}

/* ---- the end: the last tests ---- */

/* A restart takes no other machine. */
static void test_the_container_starts_again(void **state)
{
    (void)state;
    struct agent_process_progress progress = {.output = main_session.length[0]};
    main_session.stop_after = 0;
    main_session.process = agent_process_attach(&main_session.loop, &address, "main", &progress,
                                                TIMEOUT, &session_events, &main_session);
    json_decref(call("signal", json_pack("{s:i}", "signal", SIGKILL)));
    session_run(&main_session);
    assert_int_equal(main_session.status, 137);
    assert_int_equal(main_session.signal, SIGKILL);
    struct session session = {0};
    exec_process(&session, make_process("true"));
    assert_non_null(strstr(session.err.text, "isn't running"));
    session_close(&session);
    session_close(&main_session);
    main_session = (struct session){.stop_after = strlen("ready\n")};
    session_open(&main_session);
    main_session.process =
        agent_process_start(&main_session.loop, &address, TIMEOUT, &session_events, &main_session);
    session_run(&main_session);
    assert_string_equal(main_session.output[0], "ready\n");
    expect("cat /which", "new\n", 0);
}

static void test_shuts_down_cleanly(void **state)
{
    (void)state;
    struct agent_process_progress progress = {.output = main_session.length[0]};
    main_session.stop_after = 0;
    main_session.stop_at_start = true;
    main_session.process = agent_process_attach(&main_session.loop, &address, "main", &progress,
                                                TIMEOUT, &session_events, &main_session);
    session_run(&main_session);
    json_decref(call("shutdown", json_pack("{s:i}", "grace", 15000)));
    session_run(&main_session);
    assert_string_equal(main_session.output[0], "ready\ngot term\n");
    assert_int_equal(main_session.status, 7);
    assert_int_equal(await_agent(), 0);
    /* All is written, and the disk was unmounted. */
    run("cd %s && e2fsck -fn disk.img >/dev/null 2>&1 && "
        "debugfs -R 'cat /upper/which' disk.img 2>/dev/null | grep -q new",
        directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_who_it_is),
        cmocka_unit_test(test_refuses_what_it_does_not_know),
        cmocka_unit_test(test_counts_what_is_used),
        cmocka_unit_test(test_lists_processes),
        cmocka_unit_test(test_leaves_no_zombies),
        cmocka_unit_test(test_takes_the_time),
        cmocka_unit_test(test_stacks_layers_under_a_disk),
        cmocka_unit_test(test_gives_files_names_and_mounts),
        cmocka_unit_test(test_configures_the_network),
        cmocka_unit_test(test_executes_with_status_and_streams),
        cmocka_unit_test(test_says_why_it_cannot_execute),
        cmocka_unit_test(test_looks_users_up_inside),
        cmocka_unit_test(test_keeps_all_capabilities_unless_told),
        cmocka_unit_test(test_sets_limits),
        cmocka_unit_test(test_carries_much_input_and_output),
        cmocka_unit_test(test_discards_input_nobody_reads),
        cmocka_unit_test(test_gives_a_terminal),
        cmocka_unit_test(test_background_children_do_not_hold_the_end),
        cmocka_unit_test(test_detached_processes_go_on_alone),
        cmocka_unit_test(test_attaches_again_without_losing_a_byte),
        cmocka_unit_test(test_copies_trees_in_and_out),
        cmocka_unit_test(test_stays_in_the_container),
        cmocka_unit_test(test_damaged_archives_are_refused),
        cmocka_unit_test(test_the_container_starts_again),
        cmocka_unit_test(test_shuts_down_cleanly),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
