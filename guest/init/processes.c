/* Processes that the host asked for: how they begin, their streams, their end. A process outlives
 * its conversation: where the connection is lost, it goes on as far as its output is taken, and
 * what the host hasn't got is sent again when it attaches again. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/channel.h"
#include "guest.h"
#include "vm/agent/stream.h"

#define MAX_PROCESSES 256
#define MAX_ID 64
#define UNCLAIMED 32
#define CONTAINER_ID "main"

struct output {
    struct process_record *record;
    struct loop_source source; /* fd -1: closed */
    struct stream stream;
};

struct process_record {
    struct process_record *next;
    struct guest *guest;
    struct connection *connection; /* NULL: lost */
    char id[MAX_ID + 1];
    struct config config;       /* of one that joins */
    struct loop_source channel; /* to the process while it is being set up; fd -1: it runs */
    pid_t pid;                  /* 0: not known yet */
    bool terminal, has_ended, exit_sent;
    bool is_detached; /* nobody wants its output, nor hears of its end */
    struct agent_exit end;
    struct loop_source input; /* what we write to */
    struct stream input_buffer;
    struct output outputs[2]; /* standard output, standard error */
};

/* Children that ended before we heard whose they are. */
static struct {
    pid_t pid;
    int status;
} unclaimed[UNCLAIMED];
static size_t unclaimed_next;

static void pump(struct process_record *record);

/* ---- the list ---- */

static struct process_record *find_process(struct guest *guest, const char *id)
{
    for (struct process_record *record = guest->processes; record; record = record->next) {
        if (strcmp(record->id, id) == 0)
            return record;
    }
    return NULL;
}

static void close_source(struct process_record *record, struct loop_source *source)
{
    if (source->fd < 0)
        return;
    loop_watch(&record->guest->loop, source, 0);
    close(source->fd);
    source->fd = -1;
}

static void free_process(struct process_record *record)
{
    struct guest *guest = record->guest;
    for (struct process_record **at = &guest->processes; *at; at = &(*at)->next) {
        if (*at == record) {
            *at = record->next;
            break;
        }
    }
    if (record->connection)
        record->connection->process = NULL;
    if (guest->container == record)
        guest->container = NULL;
    close_source(record, &record->channel);
    close_source(record, &record->input);
    stream_release(&record->input_buffer);
    for (int i = 0; i < 2; i++) {
        close_source(record, &record->outputs[i].source);
        stream_release(&record->outputs[i].stream);
    }
    config_release(&record->config);
    free(record);
    guest->process_count--;
}

/* One that nobody has asked after makes place for new ones. */
static void drop_forgotten(struct guest *guest)
{
    struct process_record *oldest = NULL;
    for (struct process_record *record = guest->processes; record; record = record->next) {
        if (record->has_ended && record->channel.fd < 0 && !record->connection)
            oldest = record; /* new ones are put in front */
    }
    if (oldest)
        free_process(oldest);
}

static int check_id(struct guest *guest, const char *id, struct error *err)
{
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";
    if (!id || !*id || strlen(id) > MAX_ID || id[strspn(id, allowed)])
        return error_set(err, EINVAL, "a process's id has 1 to %d letters, digits, or _.-", MAX_ID);
    struct process_record *other = find_process(guest, id);
    if (other && other->has_ended && !other->connection && other->channel.fd < 0)
        free_process(other);
    else if (other)
        return error_set(err, EEXIST, "a process '%s'", id);
    if (guest->process_count >= MAX_PROCESSES)
        drop_forgotten(guest);
    if (guest->process_count >= MAX_PROCESSES)
        return error_set(err, EAGAIN, "there are %d processes already", MAX_PROCESSES);
    return 0;
}

/* ---- streams ---- */

static void read_output(struct process_record *record, struct output *output)
{
    int fd = output->source.fd;
    /* No more than so much at a time: others wait, too. */
    uint64_t limit = output->stream.end + AGENT_WINDOW_SIZE;
    while (fd >= 0 && stream_room(&output->stream) > 0 && output->stream.end < limit) {
        ssize_t count = stream_read_from(&output->stream, fd);
        if (count > 0 && record->is_detached)
            output->stream.consumed = output->stream.sent = output->stream.end;
        if (count > 0 || (count < 0 && errno == EINTR))
            continue;
        /* A child that it left behind may hold the pipe: the process's own output is all there. */
        if (count < 0 && errno == EAGAIN && !record->has_ended)
            break;
        close_source(record, &output->source); /* a terminal without a process says EIO */
        output->stream.closed = true;
        break;
    }
    if (output->source.fd >= 0)
        loop_watch(&record->guest->loop, &output->source,
                   stream_room(&output->stream) > 0 ? EPOLLIN : 0);
}

static void grant_input(struct process_record *record, size_t bytes)
{
    struct agent_window window = {AGENT_STREAM_STDIN, (uint32_t)bytes};
    if (bytes > 0 && record->connection)
        frames_send(&record->connection->frames, AGENT_WINDOW, &window, sizeof window);
}

static void write_input(struct process_record *record)
{
    struct stream *buffer = &record->input_buffer;
    size_t written = 0;
    while (!stream_is_empty(buffer)) {
        ssize_t count = -1;
        if (record->input.fd < 0 && record->channel.fd >= 0)
            break; /* its terminal isn't there yet */
        if (record->input.fd >= 0 && !record->has_ended) {
            count = stream_write_to(buffer, record->input.fd);
            if (count < 0 && errno == EAGAIN)
                break;
        }
        if (count < 0) { /* nobody will read it */
            count = (ssize_t)(buffer->end - buffer->consumed);
            buffer->consumed = buffer->end;
        }
        written += (size_t)count;
    }
    grant_input(record, written);
    if (record->input.fd < 0)
        return;
    if ((stream_is_empty(buffer) && buffer->closed && !record->terminal) || record->has_ended)
        close_source(record, &record->input);
    else
        loop_watch(&record->guest->loop, &record->input, stream_is_empty(buffer) ? 0 : EPOLLOUT);
}

static bool all_is_sent(struct process_record *record)
{
    bool done = true;
    for (int i = 0; i < 2; i++) {
        struct output *output = &record->outputs[i];
        if (!stream_send(&output->stream, &record->connection->frames,
                         i == 0 ? AGENT_STDOUT : AGENT_STDERR) ||
            !output->stream.closed_sent)
            done = false;
    }
    return done;
}

/* Moves what can be moved. The last thing that is done with a record: it may be gone. */
static void pump(struct process_record *record)
{
    write_input(record);
    if (record->channel.fd >= 0)
        return; /* the reply comes first */
    for (int i = 0; i < 2; i++)
        read_output(record, &record->outputs[i]);
    if (record->is_detached && record->has_ended && !record->connection) {
        free_process(record);
        return;
    }
    if (!record->connection || record->exit_sent || !all_is_sent(record) || !record->has_ended)
        return;
    record->exit_sent = true;
    frames_send(&record->connection->frames, AGENT_EXIT, &record->end, sizeof record->end);
}

static void output_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    pump(loop_owner(source, struct output, source)->record);
}

static void input_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    pump(loop_owner(source, struct process_record, input));
}

/* The terminal's one descriptor is what we write to and a copy of it what we read from. */
static void take_terminal(struct process_record *record, int master)
{
    if (record->input.fd >= 0) {
        close(master);
        return;
    }
    fcntl(master, F_SETFL, O_NONBLOCK);
    record->input.fd = master;
    record->outputs[0].source.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
    record->outputs[1].stream.closed = true;
}

/* ---- setting up ---- */

static void tell_started(struct process_record *record)
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
    free_process(record);
    if (is_container && guest->is_ending)
        shutdown_go_on(guest);
}

static void set_end(struct process_record *record, int status)
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
            set_end(record, unclaimed[i].status);
        }
    }
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
            take_terminal(record, message.descriptors[0]);
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
    close_source(record, &record->channel);
    tell_started(record);
    struct guest *guest = record->guest;
    bool ended = record->has_ended && guest->container == record;
    if (ended)
        guest->container = NULL;
    pump(record);
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
    record->input = (struct loop_source){.fd = -1, .ready = input_ready};
    for (int i = 0; i < 2; i++) {
        record->outputs[i].record = record;
        record->outputs[i].source = (struct loop_source){.fd = -1, .ready = output_ready};
    }
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
    if (check_id(guest, joins ? id : CONTAINER_ID, err) < 0)
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
    free_process(record);
    return -1;
}

/* ---- the conversation ---- */

int process_attach(struct connection *connection, const char *id, uint64_t output, uint64_t errors,
                   struct error *err)
{
    struct process_record *record = id ? find_process(connection->guest, id) : NULL;
    if (!record || record->channel.fd >= 0)
        return error_set(err, ESRCH, "no process '%s'", id ? id : "");
    if (!stream_resume(&record->outputs[0].stream, output) ||
        !stream_resume(&record->outputs[1].stream, errors))
        return error_set(err, EINVAL, "process '%s' has sent less, or more is gone", id);
    if (record->connection) {
        struct connection *old = record->connection;
        old->process = NULL;
        connection_close(old);
    }
    record->connection = connection;
    connection->process = record;
    record->exit_sent = false;
    tell_started(record);
    pump(record);
    return 0;
}

static void set_size(struct process_record *record, struct agent_size size)
{
    struct winsize window = {.ws_row = size.rows, .ws_col = size.columns};
    if (record->terminal && record->input.fd >= 0)
        ioctl(record->input.fd, TIOCSWINSZ, &window);
}

static bool take_input(struct process_record *record, const char *bytes, size_t length)
{
    if (length == 0)
        record->input_buffer.closed = true;
    else if (stream_write(&record->input_buffer, bytes, length) != length)
        return false;
    pump(record);
    return true;
}

static bool take_window(struct process_record *record, const struct agent_window *window)
{
    if (window->stream != AGENT_STREAM_STDOUT && window->stream != AGENT_STREAM_STDERR)
        return false;
    struct output *output = &record->outputs[window->stream - AGENT_STREAM_STDOUT];
    if (!stream_consume(&output->stream, window->bytes))
        return false;
    pump(record);
    return true;
}

bool process_receive(struct process_record *record, unsigned int type, const char *bytes,
                     size_t length)
{
    union {
        struct agent_window window;
        struct agent_size size;
        struct agent_signal signal;
    } content = {0};
    if (type == AGENT_STDIN)
        return take_input(record, bytes, length);
    memcpy(&content, bytes, length < sizeof content ? length : sizeof content);
    if (type == AGENT_WINDOW && length == sizeof content.window)
        return take_window(record, &content.window);
    if (type == AGENT_RESIZE && length == sizeof content.size) {
        set_size(record, content.size);
        return true;
    }
    if (type == AGENT_SIGNAL && length == sizeof content.signal && content.signal.number < NSIG) {
        if (record->pid > 0 && !record->has_ended)
            kill(record->pid, (int)content.signal.number);
        return true;
    }
    if (type != AGENT_FORGET)
        return false;
    if (record->has_ended && record->exit_sent)
        free_process(record);
    return true;
}

void process_sent(struct process_record *record)
{
    pump(record);
}

void process_detach(struct process_record *record)
{
    record->connection = NULL;
    if (record->is_detached)
        pump(record);
}

/* ---- ends ---- */

/* Only while there is one whose pid we haven't heard yet: pids come again. */
static void keep_unclaimed(struct guest *guest, pid_t pid, int status)
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

void process_reap(struct guest *guest, pid_t pid, int status)
{
    struct process_record *record = guest->processes;
    while (record && (record->pid != pid || record->has_ended))
        record = record->next;
    if (!record) {
        keep_unclaimed(guest, pid, status);
        return;
    }
    set_end(record, status);
    if (record->channel.fd >= 0)
        return; /* what it said last comes first */
    bool is_container = guest->container == record;
    if (is_container)
        guest->container = NULL;
    pump(record);
    if (is_container && guest->is_ending)
        shutdown_go_on(guest);
}

int process_signal(struct guest *guest, const char *id, int number, struct error *err)
{
    struct process_record *record = find_process(guest, id ? id : CONTAINER_ID);
    if (!record || record->has_ended || record->pid == 0)
        return error_set(err, ESRCH, "no process '%s'", id ? id : CONTAINER_ID);
    if (number < 0 || number >= NSIG || kill(record->pid, number) < 0)
        return error_set(err, number < 0 || number >= NSIG ? EINVAL : errno,
                         "can't send signal %d to process '%s'", number, record->id);
    return 0;
}

int process_resize(struct guest *guest, const char *id, struct agent_size size, struct error *err)
{
    struct process_record *record = find_process(guest, id ? id : CONTAINER_ID);
    if (!record || record->has_ended)
        return error_set(err, ESRCH, "no process '%s'", id ? id : CONTAINER_ID);
    if (!record->terminal)
        return error_set(err, ENOTTY, "process '%s'", record->id);
    set_size(record, size);
    return 0;
}

void process_kill_all(struct guest *guest)
{
    for (struct process_record *record = guest->processes; record; record = record->next) {
        if (record->pid > 0 && !record->has_ended)
            kill(record->pid, SIGKILL);
    }
}

pid_t process_container_pid(const struct guest *guest)
{
    return guest->container ? guest->container->pid : 0;
}

int process_container_pidfd(const struct guest *guest)
{
    if (!guest->container || guest->container->has_ended) {
        errno = ESRCH;
        return -1;
    }
    return pidfd_open(guest->container->pid, 0); /* close-on-exec by itself */
}
