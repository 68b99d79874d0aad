/* Processes that the host asked for: how they begin, their streams, their end. A process outlives
 * its conversation: where the connection is lost, it goes on as far as its output is taken, and
 * what the host hasn't got is sent again when it attaches again. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <termios.h>
#include <unistd.h>

#include "processes.h"

/* ---- the list ---- */

struct process_record *process_find(struct guest *guest, const char *id)
{
    for (struct process_record *record = guest->processes; record; record = record->next) {
        if (strcmp(record->id, id) == 0)
            return record;
    }
    return NULL;
}

void process_close_source(struct process_record *record, struct loop_source *source)
{
    if (source->fd < 0)
        return;
    loop_watch(&record->guest->loop, source, 0);
    close(source->fd);
    source->fd = -1;
}

void process_free(struct process_record *record)
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
    process_close_source(record, &record->channel);
    process_close_source(record, &record->input);
    stream_release(&record->input_buffer);
    for (int i = 0; i < 2; i++) {
        process_close_source(record, &record->outputs[i].source);
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
        process_free(oldest);
}

int process_check_id(struct guest *guest, const char *id, struct error *err)
{
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";
    if (!id || !*id || strlen(id) > MAX_ID || id[strspn(id, allowed)])
        return error_set(err, EINVAL, "a process's id has 1 to %d letters, digits, or _.-", MAX_ID);
    struct process_record *other = process_find(guest, id);
    if (other && other->has_ended && !other->connection && other->channel.fd < 0)
        process_free(other);
    else if (other)
        return error_set(err, EEXIST, "a process '%s'", id);
    if (guest->process_count >= MAX_PROCESSES)
        drop_forgotten(guest);
    if (guest->process_count >= MAX_PROCESSES)
        return error_set(err, EAGAIN, "there are %d processes already", MAX_PROCESSES);
    return 0;
}

/* ---- the conversation ---- */

int process_attach(struct connection *connection, const char *id, uint64_t output, uint64_t errors,
                   struct error *err)
{
    struct process_record *record = id ? process_find(connection->guest, id) : NULL;
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
    process_tell_started(record);
    process_pump(record);
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
    process_pump(record);
    return true;
}

static bool take_window(struct process_record *record, const struct agent_window *window)
{
    if (window->stream != AGENT_STREAM_STDOUT && window->stream != AGENT_STREAM_STDERR)
        return false;
    struct output *output = &record->outputs[window->stream - AGENT_STREAM_STDOUT];
    if (!stream_consume(&output->stream, window->bytes))
        return false;
    process_pump(record);
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
    struct guest *guest = record->guest;
    if (record->has_ended && record->exit_sent)
        process_free(record);
    if (guest->is_ending && !guest->container)
        shutdown_go_on(guest);
    return true;
}

void process_sent(struct process_record *record)
{
    process_pump(record);
}

void process_detach(struct process_record *record)
{
    struct guest *guest = record->guest;
    record->connection = NULL;
    if (record->is_detached)
        process_pump(record);
    if (guest->is_ending && !guest->container)
        shutdown_go_on(guest);
}

/* ---- ends ---- */

void process_reap(struct guest *guest, pid_t pid, int status)
{
    struct process_record *record = guest->processes;
    while (record && (record->pid != pid || record->has_ended))
        record = record->next;
    if (!record) {
        process_keep_unclaimed(guest, pid, status);
        return;
    }
    process_set_end(record, status);
    if (record->channel.fd >= 0)
        return; /* what it said last comes first */
    bool is_container = guest->container == record;
    if (is_container)
        guest->container = NULL;
    process_pump(record);
    if (is_container && guest->is_ending)
        shutdown_go_on(guest);
}

int process_signal(struct guest *guest, const char *id, int number, struct error *err)
{
    struct process_record *record = process_find(guest, id ? id : CONTAINER_ID);
    if (!record || record->has_ended || record->pid == 0)
        return error_set(err, ESRCH, "no process '%s'", id ? id : CONTAINER_ID);
    if (number < 0 || number >= NSIG || kill(record->pid, number) < 0)
        return error_set(err, number < 0 || number >= NSIG ? EINVAL : errno,
                         "can't send signal %d to process '%s'", number, record->id);
    return 0;
}

int process_resize(struct guest *guest, const char *id, struct agent_size size, struct error *err)
{
    struct process_record *record = process_find(guest, id ? id : CONTAINER_ID);
    if (!record || record->has_ended)
        return error_set(err, ESRCH, "no process '%s'", id ? id : CONTAINER_ID);
    if (!record->terminal)
        return error_set(err, ENOTTY, "process '%s'", record->id);
    set_size(record, size);
    return 0;
}

bool process_container_is_awaited(struct guest *guest)
{
    const struct process_record *record = process_find(guest, CONTAINER_ID);
    return record && record->has_ended && record->connection;
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
