/* How a process that the host asked for begins: pipes, a place in the cgroup, a process; and what
 * that says until it executes its program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/channel.h"
#include "processes.h"

#define UNCLAIMED 32

/* Children that ended before we heard whose they are. */
static struct {
    pid_t pid;
    int status;
} unclaimed[UNCLAIMED];
static size_t unclaimed_next;

void process_tell_started(struct process_record *record)
{
    if (record->connection)
        connection_reply(record->connection,
                         json_pack("{s:s, s:i, s:I}", "id", record->id, "pid", (int)record->pid,
                                   "input", (json_int_t)record->input_buffer.end));
}

static void fail_start(struct process_record *record, const struct error *err)
{
    struct guest *guest = record->guest;
    bool is_container = guest->container == record;
    if (record->connection)
        connection_fail(record->connection, err);
    process_free(record);
    if (is_container && guest->is_ending)
        shutdown_go_on(guest);
}

void process_set_end(struct process_record *record, int status)
{
    record->has_ended = true;
    if (WIFSIGNALED(status))
        record->end =
            (struct agent_exit){128 + (uint32_t)WTERMSIG(status), (uint32_t)WTERMSIG(status)};
    else
        record->end = (struct agent_exit){(uint32_t)WEXITSTATUS(status), 0};
}

static void claim(struct process_record *record, pid_t pid)
{
    record->pid = pid;
    for (size_t i = 0; i < UNCLAIMED; i++) {
        if (unclaimed[i].pid == pid) {
            unclaimed[i].pid = 0;
            process_set_end(record, unclaimed[i].status);
        }
    }
}

/* Only while there is one whose pid we haven't heard yet: pids come again. */
void process_keep_unclaimed(struct guest *guest, pid_t pid, int status)
{
    for (struct process_record *record = guest->processes; record; record = record->next) {
        if (record->pid == 0) {
            unclaimed[unclaimed_next].pid = pid;
            unclaimed[unclaimed_next].status = status;
            unclaimed_next = (unclaimed_next + 1) % UNCLAIMED;
            return;
        }
    }
    memset(unclaimed, 0, sizeof unclaimed);
}

static void hear(struct loop_source *source, uint32_t events)
{
    struct process_record *record = loop_owner(source, struct process_record, channel);
    struct channel_message message;
    struct error err = {0};
    (void)events;
    if (channel_receive(source->fd, &message) < 0)
        return;
    switch (message.type) {
    case CHANNEL_PID:
        claim(record, message.number);
        return;
    case CHANNEL_CONSOLE:
        if (message.descriptor_count == 1)
            process_take_terminal(record, message.descriptors[0]);
        return;
    case CHANNEL_ERROR:
        error_set(&err, 0, "%s", message.text);
        err.code = message.number;
        fail_start(record, &err);
        return;
    default:
        break;
    }
    if (record->pid == 0) {
        error_set(&err, ECHILD, "the process died while it was set up");
        fail_start(record, &err);
        return;
    }
    process_close_source(record, &record->channel);
    process_tell_started(record);
    struct guest *guest = record->guest;
    bool ended = record->has_ended && guest->container == record;
    if (ended)
        guest->container = NULL;
    process_pump(record);
    if (ended && guest->is_ending)
        shutdown_go_on(guest);
}

/* Its ends of three pipes in theirs, ours in the record. */
static int make_pipes(struct process_record *record, int theirs[3], struct error *err)
{
    struct loop_source *ours[3] = {&record->input, &record->outputs[0].source,
                                   &record->outputs[1].source};
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            return error_set(err, errno, "can't make a pipe");
        theirs[i] = ends[i > 0];
        ours[i]->fd = ends[i == 0];
        fcntl(ours[i]->fd, F_SETFL, O_NONBLOCK);
    }
    return 0;
}

/* Where processes that join are put: the container's cgroup, or that of its first process, where it
 * has handed its own down (systemd). */
static int open_inner_cgroup(const struct guest *guest)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cgroup", guest->container ? guest->container->pid : 0);
    scope_free char *text = file_read_all(AT_FDCWD, path, 65536, NULL, NULL);
    if (!text || strncmp(text, "0::/", 4) != 0)
        return -1;
    text[strcspn(text, "\n")] = '\0';
    scope_free char *directory = memory_format("/sys/fs/cgroup%s", text + 3);
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static pid_t make_process(struct guest *guest, bool joins)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    scope_close int inner = -1;
    if (!joins)
        arguments.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
    if (guest->cgroup >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)guest->cgroup;
    }
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0 && errno == EBUSY && joins && (inner = open_inner_cgroup(guest)) >= 0) {
        arguments.cgroup = (uint64_t)inner;
        pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    }
    return (pid_t)pid;
}

static void set_oom_score(pid_t pid, const struct config_process *process)
{
    char path[64], value[16];
    if (!process->oom_score_adj.given)
        return;
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
    snprintf(value, sizeof value, "%d", (int)process->oom_score_adj.value);
    file_write_text(AT_FDCWD, path, value, NULL);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static int launch(struct process_record *record, struct launch *launch, struct error *err)
{
    struct guest *guest = record->guest;
    int ends[2] = {-1, -1};
    bool joins = launch->container >= 0;
    if ((!record->terminal && make_pipes(record, launch->streams, err) < 0) ||
        channel_open(ends, err) < 0) {
        close_all(launch->streams, 3);
        return -1;
    }
    record->channel.fd = ends[0];
    launch->channel = ends[1];
    pid_t pid = make_process(guest, joins);
    if (pid == 0)
        launch_run(launch);
    int code = errno;
    close(ends[1]);
    close_all(launch->streams, 3);
    if (pid < 0)
        return error_set(err, code, "can't make a process");
    set_oom_score(pid, launch->process);
    if (!joins)
        record->pid = pid;
    loop_watch(&guest->loop, &record->channel, EPOLLIN);
    return 0;
}

/* What is left out is as for the container's own process, as hull-oci has it. */
static void inherit(struct config_process *process, const struct config_process *container)
{
    if (!process->capabilities)
        process->capabilities = container->capabilities;
    if (!process->oom_score_adj.given)
        process->oom_score_adj = container->oom_score_adj;
    if (process->rlimit_count == 0) {
        process->rlimit_count = container->rlimit_count;
        process->rlimits = container->rlimits;
    }
    if (!process->has_umask) {
        process->has_umask = container->has_umask;
        process->umask = container->umask;
    }
}

static int read_process(struct process_record *record, const json_t *document, struct error *err)
{
    scope_free char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, EINVAL, "process: missing");
    if (config_parse_process(&record->config, text, strlen(text), err) < 0)
        return error_wrap(err, "process");
    inherit(record->config.process, record->guest->config.process);
    return 0;
}

static struct process_record *add_process(struct connection *connection, const char *id)
{
    struct guest *guest = connection->guest;
    struct process_record *record = memory_allocate(1, sizeof *record);
    strcpy(record->id, id);
    record->guest = guest;
    record->connection = connection;
    connection->process = record;
    record->channel = (struct loop_source){.fd = -1, .ready = hear};
    process_open_sources(record);
    record->next = guest->processes;
    guest->processes = record;
    guest->process_count++;
    return record;
}

static const char *username_of(const json_t *process)
{
    return json_string_value(json_object_get(json_object_get(process, "user"), "username"));
}

int process_start(struct connection *connection, const char *id, json_t *process, bool is_detached,
                  struct error *err)
{
    struct guest *guest = connection->guest;
    bool joins = id != NULL;
    if (!guest->is_booted || guest->is_ending)
        return error_set(err, EAGAIN, "the machine isn't ready for processes");
    if (joins && (!guest->container || guest->container->channel.fd >= 0))
        return error_set(err, ESRCH, "the container isn't running");
    if (process_check_id(guest, joins ? id : CONTAINER_ID, err) < 0)
        return -1;
    struct process_record *record = add_process(connection, joins ? id : CONTAINER_ID);
    record->is_detached = record->input_buffer.closed = is_detached;
    scope_close int container = joins ? process_container_pidfd(guest) : -1;
    struct launch plan = {.guest = guest,
                          .config = &guest->config,
                          .process = guest->config.process,
                          .container = container,
                          .streams = {-1, -1, -1}};
    if (joins && container < 0)
        error_set(err, errno, "can't find the container's process");
    else if (!joins || read_process(record, process, err) == 0) {
        plan.username = joins ? username_of(process) : guest->username;
        if (joins)
            plan.process = record->config.process;
        record->terminal = plan.process->terminal;
        if (launch(record, &plan, err) == 0) {
            if (!joins)
                guest->container = record;
            return 0;
        }
    }
    process_free(record);
    return -1;
}
