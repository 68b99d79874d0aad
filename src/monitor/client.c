/* Requests to a monitor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"
#include "monitor/protocol.h"

static int connect_to(const char *run_directory, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    scope_close int directory = open(run_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scope_close int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (directory < 0 || connection < 0)
        return error_set(err, errno, "the container is not running (%s)", run_directory);
    /* A path may be longer than sun_path; the descriptor's isn't. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", directory);
    int result;
    do {
        result = connect(connection, (struct sockaddr *)&address, sizeof address);
    } while (result < 0 && errno == EINTR);
    if (result < 0)
        return error_set(err, errno, "the container is not running (no monitor answers)");
    return scope_take_fd(&connection);
}

static int read_answer(int connection, int *exit_code, struct error *err)
{
    struct monitor_packet answer;
    ssize_t size = protocol_receive(connection, &answer, 0);
    if (size < 0)
        return error_set(err, errno, "can't hear from the container's monitor");
    if (size == 0)
        return error_set(err, ECONNRESET, "the container's monitor ended the connection");
    switch (answer.header.type) {
    case MONITOR_REPLY_OK:
        return 0;
    case MONITOR_REPLY_EXITED:
        if (exit_code)
            *exit_code = answer.header.numbers[0];
        return 0;
    case MONITOR_REPLY_ERROR:
        if (exit_code && answer.header.numbers[1])
            *exit_code = answer.header.numbers[1];
        error_set(err, 0, "%s", answer.data);
        if (err)
            err->code = answer.header.numbers[0];
        return -1;
    default:
        return error_set(err, EPROTO, "the container's monitor gave an unknown answer");
    }
}

static int ask(const char *run_directory, struct monitor_packet_header header, const char *data,
               int *exit_code, struct error *err)
{
    scope_close int connection = connect_to(run_directory, err);
    if (connection < 0)
        return -1;
    struct error why;
    int result = 0;
    if (protocol_send(connection, &header, data, data ? strlen(data) : 0, 0) < 0)
        result = error_set(&why, errno, "can't ask the container's monitor");
    else
        result = read_answer(connection, exit_code, &why);
    if (result == 0)
        return 0;
    /* It ended when we had connected, but before it looked: as if we had come later. */
    if (why.code == ECONNRESET || why.code == EPIPE)
        return error_set(err, ECONNREFUSED, "the container's monitor ended before it answered");
    if (err)
        *err = why;
    return -1;
}

int monitor_begin(const char *run_directory, struct monitor_failure *failure, struct error *err)
{
    int code = 125;
    int result =
        ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_BEGIN}, NULL, &code, err);
    if (failure)
        failure->exit_code = code;
    return result;
}

int monitor_stop(const char *run_directory, int signal, int timeout, struct error *err)
{
    return ask(run_directory,
               (struct monitor_packet_header){MONITOR_REQUEST_STOP, {signal, timeout}}, NULL, NULL,
               err);
}

int monitor_restart(const char *run_directory, int signal, int timeout, struct error *err)
{
    return ask(run_directory,
               (struct monitor_packet_header){MONITOR_REQUEST_RESTART, {signal, timeout}}, NULL,
               NULL, err);
}

int monitor_kill(const char *run_directory, int signal, struct error *err)
{
    return ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_KILL, {signal}}, NULL,
               NULL, err);
}

int monitor_pause(const char *run_directory, struct error *err)
{
    return ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_PAUSE}, NULL, NULL,
               err);
}

int monitor_resume(const char *run_directory, struct error *err)
{
    return ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_RESUME}, NULL, NULL,
               err);
}

int monitor_resize(const char *run_directory, unsigned short rows, unsigned short columns,
                   struct error *err)
{
    return ask(run_directory,
               (struct monitor_packet_header){MONITOR_REQUEST_RESIZE, {rows, columns}}, NULL, NULL,
               err);
}

int monitor_update_restart(const char *run_directory, const struct monitor_restart *restart,
                           struct error *err)
{
    struct monitor_packet_header header = {MONITOR_REQUEST_UPDATE,
                                           {(int32_t)restart->kind, restart->maximum_retry_count}};
    return ask(run_directory, header, NULL, NULL, err);
}

int monitor_rename(const char *run_directory, const char *name, struct error *err)
{
    return ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_RENAME}, name, NULL,
               err);
}

int monitor_wait(const char *run_directory, bool next_exit, int *exit_code, struct error *err)
{
    return ask(run_directory, (struct monitor_packet_header){MONITOR_REQUEST_WAIT, {next_exit}},
               NULL, exit_code, err);
}

int monitor_attach(const char *run_directory, int flags, struct error *err)
{
    struct monitor_packet_header header = {MONITOR_REQUEST_ATTACH, {flags}};
    scope_close int connection = connect_to(run_directory, err);
    if (connection < 0)
        return -1;
    if (protocol_send(connection, &header, NULL, 0, 0) < 0)
        return error_set(err, errno, "can't ask the container's monitor");
    if (read_answer(connection, NULL, err) < 0)
        return -1;
    return scope_take_fd(&connection);
}

int monitor_await_end(int connection, int timeout, struct error *err)
{
    struct pollfd polled = {connection, POLLIN, 0};
    char byte;
    for (;;) {
        int ready = poll(&polled, 1, timeout);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return error_set(err, ETIMEDOUT, "the container's monitor is still cleaning up");
        /* What else may come is of no interest any more. */
        if (ready < 0 || recv(connection, &byte, 1, MSG_DONTWAIT) <= 0)
            return 0;
    }
}
