/* An agent in namespaces of its own, as guest/init/main.c has it for tests, with two layers and a
 * disk on loop devices; and what the tests ask it. */
#ifndef HULL_TEST_VM_AGENT_FIXTURE_H
#define HULL_TEST_VM_AGENT_FIXTURE_H

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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/agent/agent.h"

#define TIMEOUT 20000 /* ms; a loaded machine is slow, and a hang is found all the same */

static char directory[128], socket_path[160], agent_directory[160];
static struct agent_address address = {socket_path, AGENT_PORT};
static pid_t agent_pid;

/* ---- the machine ---- */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    if (status != 0)
        fail_msg("%s: status %d", command, status);
}

/* The first line that a command prints. */
static char *output_of(const char *command)
{
    char line[512] = "";
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (!fgets(line, sizeof line, pipe))
        line[0] = '\0';
    assert_int_equal(pclose(pipe), 0);
    line[strcspn(line, "\n")] = '\0';
    return memory_copy_string(line);
}

/* An image of the directory NAME, as a device. */
static char *make_device(const char *name, const char *options, const char *loop_options)
{
    run("cd %s && truncate -s 16M %s.img && mke2fs -q -F -t ext4 %s -d %s %s.img", directory, name,
        options, name, name);
    scope_free char *command =
        memory_format("losetup --find --show %s %s/%s.img", loop_options, directory, name);
    return output_of(command);
}

static void make_trees(void)
{
    run("cd %s && mkdir -p low/bin low/etc low/tmp low/root high/etc disk && cp /bin/busybox "
        "low/bin && "
        "for name in sh cat echo id stty ls sleep kill tr head wc printf readlink hostname env pwd "
        "grep test true ulimit yes stat ln mkdir mv ip date ps; do ln -s busybox low/bin/$name; "
        "done",
        directory);
    run("cd %s && echo low >low/which && echo low >low/only && echo high >high/which && "
        "printf 'root:x:0:0::/root:/bin/sh\\nweb:x:33:34::/srv:/bin/sh\\n' >low/etc/passwd && "
        "printf 'root:x:0:\\nweb:x:34:\\nextra:x:77:other,web\\n' >low/etc/group && "
        "echo image >low/etc/hosts",
        directory);
}

static const char mounts_text[] =
    "[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"mode=755\"]},"
    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
    "\"options\":[\"newinstance\",\"ptmxmode=0666\"]},"
    "{\"destination\":\"/"
    "run\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nodev\",\"size=1m\"]}]";

static json_t *make_process(const char *script)
{
    return json_pack("{s:{s:i, s:i}, s:[s, s, s], s:[s, s], s:s}", "user", "uid", 0, "gid", 0,
                     "args", "/bin/sh", "-c", script, "env", "PATH=/bin", "NAME=value", "cwd", "/");
}

static json_t *make_boot(const char *low, const char *high, const char *disk, const char *script)
{
    json_t *spec = json_pack("{s:s, s:{s:s}, s:s, s:o, s:o, s:{s:[{s:s}, {s:s}]}}", "ociVersion",
                             "1.0.2", "root", "path", "rootfs", "hostname", "guest", "process",
                             make_process(script), "mounts", json_loads(mounts_text, 0, NULL),
                             "linux", "namespaces", "type", "mount", "type", "uts");
    json_t *files = json_pack("[{s:s, s:s}, {s:s, s:s, s:i, s:b}]", "path", "/etc/hosts", "content",
                              "127.0.0.1 localhost guest\n", "path", "/etc/secret", "content", "s",
                              "mode", 0400, "readonly", 1);
    json_t *root =
        json_pack("{s:[{s:s, s:s}, {s:s, s:s}], s:{s:s, s:s}}", "layers", "device", low, "type",
                  "ext4", "device", high, "type", "ext4", "disk", "device", disk, "type", "ext4");
    json_t *network =
        json_pack("{s:[{s:s, s:i, s:[s, s]}], s:[{s:s, s:s, s:s}]}", "interfaces", "name", "lo",
                  "mtu", 4000, "addresses", "10.9.8.7/24", "fd00::7/64", "routes", "destination",
                  "10.1.0.0/16", "gateway", "10.9.8.1", "interface", "lo");
    json_t *document = json_pack("{s:o, s:o, s:o, s:o}", "spec", spec, "root", root, "files", files,
                                 "network", network);
    assert_non_null(document);
    return document;
}

static void start_agent(void)
{
    agent_pid = fork();
    if (agent_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* The search for leaks needs ptrace, which a process 1 hasn't. */
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        execl(GUEST_INIT, GUEST_INIT, "--test", socket_path, agent_directory, (char *)NULL);
        _exit(127);
    }
}

static json_t *call(const char *request, json_t *document)
{
    struct error err = {0};
    json_t *reply = agent_call(&address, request, document, TIMEOUT, &err);
    if (!reply)
        fail_msg("%s: %s", request, err.text);
    return reply;
}

static void make_directories(void)
{
    const char *base = getenv("HULL_TEST_DIRECTORY");
    snprintf(directory, sizeof directory, "%s/hull-agent-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(directory));
    snprintf(socket_path, sizeof socket_path, "%s/vsock", directory);
    snprintf(agent_directory, sizeof agent_directory, "%s/agent", directory);
    mkdir(agent_directory, 0755);
}

/* Boots with main's script. */
static void boot_guest(const char *script)
{
    make_trees();
    scope_free char *low = make_device("low", "-O ^has_journal", "--read-only");
    scope_free char *high = make_device("high", "-O ^has_journal", "--read-only");
    scope_free char *disk = make_device("disk", "", "");
    start_agent();
    struct error err = {0};
    json_t *reply = agent_call(&address, "boot", make_boot(low, high, disk, script), TIMEOUT, &err);
    /* They go when the agent's mounts go. */
    run("losetup --detach %s %s %s", low, high, disk);
    if (!reply)
        fail_msg("boot: %s", err.text);
    json_decref(reply);
}

/* The agent's status; it is killed if it doesn't end. */
static int await_agent(void)
{
    int status = -1;
    for (int i = 0; i < TIMEOUT / 10; i++) {
        if (waitpid(agent_pid, &status, WNOHANG) == agent_pid) {
            agent_pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        usleep(10000);
    }
    return -1;
}

static void remove_guest(void)
{
    if (agent_pid > 0) {
        kill(agent_pid, SIGKILL);
        waitpid(agent_pid, NULL, 0);
    }
    run("rm -rf %s", directory);
}

/* ---- processes ---- */

struct session {
    struct loop loop;
    struct agent_process *process;
    const char *input;
    size_t input_length;
    char *output[2];
    size_t length[2];
    int64_t hold;       /* so many bytes of output are not consumed for a while */
    size_t stop_after;  /* let go of it after so many bytes of output; 0: don't */
    bool stop_at_start; /* return when it has begun */
    uint16_t rows, columns;
    pid_t pid;
    bool has_ended, is_lost;
    int status, signal;
    struct error err;
};

static void give_input(struct session *session)
{
    size_t count = agent_process_write(session->process, session->input, session->input_length);
    session->input += count;
    session->input_length -= count;
    if (session->input_length == 0)
        agent_process_close_input(session->process);
}

static void session_started(void *context, pid_t pid)
{
    struct session *session = context;
    session->pid = pid;
    session->loop.done = session->stop_at_start;
    if (session->rows)
        agent_process_resize(session->process, session->rows, session->columns);
    give_input(session);
}

static void session_drained(void *context)
{
    give_input(context);
}

static void session_output(void *context, enum agent_stream_number stream, const char *bytes,
                           size_t length)
{
    struct session *session = context;
    int index = stream - AGENT_STREAM_STDOUT;
    session->output[index] =
        memory_resize(session->output[index], session->length[index] + length + 1, 1);
    memcpy(session->output[index] + session->length[index], bytes, length);
    session->length[index] += length;
    session->output[index][session->length[index]] = '\0';
    if (session->stop_after && session->length[0] >= session->stop_after) {
        agent_process_release(session->process);
        session->process = NULL;
        session->loop.done = true;
        return;
    }
    agent_process_consumed(session->process, stream, length);
}

static void session_ended(void *context, int status, int signal, const struct error *err,
                          bool is_lost)
{
    struct session *session = context;
    session->process = NULL;
    session->has_ended = true;
    session->status = status;
    session->signal = signal;
    session->is_lost = is_lost;
    if (err)
        session->err = *err;
    session->loop.done = true;
}

static const struct agent_process_events session_events = {session_started, session_output,
                                                           session_drained, session_ended};

static int next_id;

static void session_open(struct session *session)
{
    assert_int_equal(loop_open(&session->loop, NULL), 0);
}

static void session_run(struct session *session)
{
    session->loop.done = false;
    loop_run(&session->loop);
}

static void session_close(struct session *session)
{
    loop_close(&session->loop);
    free(session->output[0]);
    free(session->output[1]);
}

/* Executes the process in the container, to its end. */
static void exec_process(struct session *session, json_t *process)
{
    char id[32];
    snprintf(id, sizeof id, "p%d", next_id++);
    session_open(session);
    session->process = agent_process_exec(&session->loop, &address, id, process, TIMEOUT,
                                          &session_events, session);
    session_run(session);
}

/* Executes a script, and expects this output and status. */
static void expect(const char *script, const char *output, int status)
{
    struct session session = {0};
    exec_process(&session, make_process(script));
    if (session.err.text[0])
        fail_msg("%s: %s", script, session.err.text);
    assert_string_equal(session.output[0] ? session.output[0] : "", output);
    assert_int_equal(session.status, status);
    session_close(&session);
}

#endif
