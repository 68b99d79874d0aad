#include "vm/gdb/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/gdb/commands.h"
#include "vm/log.h"

struct gdb_server {
    struct machine *machine;
    struct machine_debugger debugger;
    struct gdb_target target;
    char *path;
    struct loop_source listener, client; /* only one of them is watched; client.fd may be -1 */
    struct loop_timer listen_again;      /* after a shortage of descriptors or memory */
    struct loop_timer stopped;           /* the processors were told to stop */
    struct gdb_session *session;         /* the client's, or NULL */
    uint8_t input[4096];
    size_t input_start, input_end; /* what isn't served yet */
};

#define ALL_VCPUS UINT32_MAX
#define ACCEPT_AGAIN 1000 /* ms */

/* ---- The machine's side ---- */

static void run_machine(struct gdb_target *target, uint32_t vcpus)
{
    machine_release(loop_owner(target, struct gdb_server, target)->machine, vcpus);
}

/* On any thread; the loop's then waits for all processors. */
static void stop_machine(struct gdb_target *target)
{
    struct gdb_server *server = loop_owner(target, struct gdb_server, target);
    machine_hold(server->machine);
    loop_timer_set(server->machine->loop, &server->stopped, 0);
}

static void kill_machine(struct gdb_target *target)
{
    machine_stop(loop_owner(target, struct gdb_server, target)->machine, MACHINE_STOPPED);
}

static const struct gdb_target_operations target_operations = {run_machine, stop_machine,
                                                               kill_machine};

static void on_event(struct machine_debugger *debugger, struct vcpu *vcpu)
{
    struct gdb_server *server = loop_owner(debugger, struct gdb_server, debugger);
    if (gdb_target_happened(&server->target, vcpu) && server->session)
        stop_machine(&server->target);
}

/* ---- The client ---- */

static void leave(struct gdb_server *server)
{
    loop_watch(server->machine->loop, &server->client, 0);
    loop_timer_cancel(server->machine->loop, &server->stopped);
    close(server->client.fd);
    server->client.fd = -1;
    gdb_session_close(server->session);
    free(server->session);
    server->session = NULL;
}

/* The machine goes on as if there had never been a debugger, until the next one comes. */
static void disconnect(struct gdb_server *server)
{
    machine_hold(server->machine);
    if (machine_wait_held(server->machine)) {
        gdb_target_clear(&server->target);
        machine_release(server->machine, ALL_VCPUS);
    }
    leave(server);
    loop_watch(server->machine->loop, &server->listener, EPOLLIN);
    vm_log(VM_LOG_INFO, "debugger", "the debugger has left");
}

/* Sends what there is; false if the client is gone. */
static bool flush(struct gdb_server *server)
{
    struct gdb_packets *packets = &server->session->packets;
    while (packets->output_length > 0) {
        ssize_t count = send(server->client.fd, packets->output, packets->output_length,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno == EAGAIN;
        gdb_packets_sent(packets, (size_t)count);
    }
    return true;
}

/* Serves what came as long as the client takes the answers. */
static void serve(struct gdb_server *server)
{
    struct gdb_session *session = server->session;
    bool is_there = flush(server);
    while (is_there && !session->is_over && server->input_start < server->input_end &&
           session->packets.output_length == 0) {
        server->input_start += gdb_session_take(session, server->input + server->input_start,
                                                server->input_end - server->input_start);
        is_there = flush(server);
    }
    if (!is_there || session->is_over)
        disconnect(server);
    else
        loop_watch(server->machine->loop, &server->client,
                   session->packets.output_length > 0 ? EPOLLOUT : EPOLLIN);
}

static void on_client(struct loop_source *source, uint32_t events)
{
    struct gdb_server *server = loop_owner(source, struct gdb_server, client);
    (void)events;
    if (server->input_start == server->input_end) {
        ssize_t count = recv(source->fd, server->input, sizeof server->input, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
            disconnect(server);
            return;
        }
        server->input_start = 0;
        server->input_end = count > 0 ? (size_t)count : 0;
    }
    serve(server);
}

static void on_stopped(struct loop_timer *timer)
{
    struct gdb_server *server = loop_owner(timer, struct gdb_server, stopped);
    struct gdb_stop stop = {.reason = GDB_STOP_INTERRUPT};
    if (!machine_wait_held(server->machine) || !server->session)
        return;
    /* Of several events the others wait, or come again: gdb_target_run(). */
    stop.vcpu = server->session->selected;
    gdb_target_take_pending(&server->target, &stop);
    gdb_session_stopped(server->session, &stop);
    serve(server);
}

static void on_connected(struct loop_source *source, uint32_t events)
{
    struct gdb_server *server = loop_owner(source, struct gdb_server, listener);
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            vm_log(VM_LOG_WARNING, "debugger", "can't take a debugger's connection: %s",
                   strerror(errno));
            loop_watch(server->machine->loop, source, 0);
            loop_timer_set(server->machine->loop, &server->listen_again, ACCEPT_AGAIN);
        }
        return;
    }
    machine_hold(server->machine);
    if (!machine_wait_held(server->machine)) {
        close(fd);
        return;
    }
    loop_watch(server->machine->loop, source, 0);
    server->client.fd = fd;
    server->input_start = server->input_end = 0;
    server->session = memory_allocate(1, sizeof *server->session);
    gdb_session_open(server->session, &server->target);
    loop_watch(server->machine->loop, &server->client, EPOLLIN);
    vm_log(VM_LOG_INFO, "debugger", "a debugger has stopped the machine");
}

static void on_listen_again(struct loop_timer *timer)
{
    struct gdb_server *server = loop_owner(timer, struct gdb_server, listen_again);
    loop_watch(server->machine->loop, &server->listener, EPOLLIN);
}

/* ---- Opening and closing ---- */

static int listen_at(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, 0, "the debugger's socket %s has too long a path (at most %zu bytes)",
                         path, sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, errno, "can't make a Unix socket");
    /* Whoever may connect owns the guest. bind() gives the file this mode. */
    if (fchmod(fd, 0600) < 0)
        return error_set(err, errno, "can't close the debugger's socket %s to others", path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return error_set(err, errno, "can't bind the debugger's socket %s%s", path,
                         errno == EADDRINUSE ? " (remove it, if no machine uses it)" : "");
    if (listen(fd, 1) < 0) {
        error_set(err, errno, "can't listen on the debugger's socket %s", path);
        unlink(path);
        return -1;
    }
    return scope_take_fd(&fd);
}

struct gdb_server *gdb_server_open(struct machine *machine, const char *path, struct error *err)
{
    int fd = listen_at(path, err);
    if (fd < 0)
        return NULL;
    struct gdb_server *server = memory_allocate(1, sizeof *server);
    *server = (struct gdb_server){
        .machine = machine,
        .debugger = {on_event},
        .target = {.operations = &target_operations,
                   .memory = &machine->memory,
                   .vcpu_count = machine->vcpu_count},
        .path = memory_copy_string(path),
        .listener = {.fd = fd, .ready = on_connected},
        .client = {.fd = -1, .ready = on_client},
        .listen_again = {.expired = on_listen_again},
        .stopped = {.expired = on_stopped},
    };
    for (unsigned i = 0; i < machine->vcpu_count; i++)
        server->target.vcpus[i] = machine->vcpus[i].vcpu;
    machine->debugger = &server->debugger;
    machine_hold(machine);
    loop_watch(machine->loop, &server->listener, EPOLLIN);
    vm_log(VM_LOG_INFO, "debugger", "the machine waits for a debugger at %s", path);
    return server;
}

void gdb_server_close(struct gdb_server *server)
{
    struct machine *machine = server->machine;
    if (server->session) {
        gdb_session_ended(server->session,
                          machine->state == MACHINE_ENDED &&
                              (machine->end == MACHINE_CRASHED || machine->end == MACHINE_BROKEN));
        flush(server);
        leave(server);
    }
    machine->debugger = NULL;
    loop_timer_cancel(machine->loop, &server->listen_again);
    loop_watch(machine->loop, &server->listener, 0);
    close(server->listener.fd);
    unlink(server->path);
    free(server->path);
    free(server->target.breakpoints);
    free(server);
}
