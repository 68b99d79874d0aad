#include "vm/control/http.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/control/http_library.h"

#define IDLE_SECONDS 300 /* then a connection is closed */
#define WAIT_MS 60000    /* the longest sleep of the thread */
#define DISCARD_FACTOR 4 /* how many limits of a chunked body are read past the first */

struct api_server {
    struct http_library library;
    struct control *control;
    struct handover *handover;
    char *socket_path;
    size_t body_limit;
    int (*confine_thread)(void *context, struct error *err);
    void *context;
    struct MHD_Daemon *daemon;
    int stop; /* an eventfd: the thread ends when it is readable */
    pthread_t thread;
    struct error start_error; /* the thread's */
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum { THREAD_STARTS, THREAD_RUNS, THREAD_FAILED } thread_state;
};

/* A request while its body comes. */
struct upload {
    char *body;
    size_t length, room;
    bool too_large;
    size_t announced; /* by Content-Length; 0: it wasn't */
};

static enum MHD_Result send_reply(const struct api_server *server,
                                  struct MHD_Connection *connection,
                                  const struct control_reply *reply)
{
    size_t length = reply->text ? strlen(reply->text) : 0;
    const struct http_library *library = &server->library;
    struct MHD_Response *response = library->create_response(
        length, reply->text ? reply->text : (char *)(uintptr_t) "", MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    library->add_header(response, "Server", "hull-vmm");
    if (reply->text)
        library->add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    if (reply->deprecated)
        library->add_header(response, "Deprecation", "true");
    enum MHD_Result result = library->queue_response(connection, reply->status, response);
    library->destroy_response(response);
    return result;
}

static enum MHD_Result refuse(const struct api_server *server, struct MHD_Connection *connection,
                              unsigned status, const char *text)
{
    struct control_reply reply = {0};
    control_reply_fault(&reply, status, text);
    enum MHD_Result result = send_reply(server, connection, &reply);
    free(reply.text);
    return result;
}

static enum MHD_Result refuse_size(const struct api_server *server,
                                   struct MHD_Connection *connection, size_t size)
{
    scope_free char *text =
        memory_format("Request payload with size %zu is larger than the limit of %zu allowed by "
                      "server.\nAll previous unanswered requests will be dropped.",
                      size, server->body_limit);
    return refuse(server, connection, MHD_HTTP_BAD_REQUEST, text);
}

/* What Content-Length says; 0 without one, SIZE_MAX where it is above all limits. */
static size_t announced_length(const struct api_server *server, struct MHD_Connection *connection)
{
    const char *text =
        server->library.lookup_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!text)
        return 0;
    errno = 0;
    unsigned long long length = strtoull(text, NULL, 10);
    return errno || length > SIZE_MAX ? SIZE_MAX : (size_t)length;
}

/* Keeps the bytes; MHD_NO ends the connection of one who sends for ever. */
static enum MHD_Result take_bytes(const struct api_server *server, struct upload *upload,
                                  const char *bytes, size_t count)
{
    if (count > server->body_limit - upload->length || upload->too_large) {
        upload->too_large = true;
        upload->announced += count;
        return upload->announced / DISCARD_FACTOR > server->body_limit ? MHD_NO : MHD_YES;
    }
    if (upload->length + count > upload->room) {
        upload->room = 2 * (upload->length + count);
        upload->body = memory_resize(upload->body, upload->room, 1);
    }
    memcpy(upload->body + upload->length, bytes, count);
    upload->length += count;
    return MHD_YES;
}

/* ---- on the loop's thread ---- */

struct handed_over {
    struct control *control;
    struct control_request request;
    struct control_reply reply;
};

static void answer_on_loop(void *argument)
{
    struct handed_over *handed = argument;
    control_answer(handed->control, &handed->request, &handed->reply);
}

/* ---- on the API's thread ---- */

static enum MHD_Result answer(struct api_server *server, struct MHD_Connection *connection,
                              const char *method, const char *path, const struct upload *upload)
{
    struct handed_over handed = {
        .control = server->control,
        .request = {method, path, upload->body ? upload->body : "", upload->length}};
    if (handover_call(server->handover, answer_on_loop, &handed) < 0)
        return refuse(server, connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "The microVM is shutting down.");
    enum MHD_Result result = send_reply(server, connection, &handed.reply);
    free(handed.reply.text);
    return result;
}

static enum MHD_Result access_request(void *context, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *bytes, size_t *count, void **slot)
{
    struct api_server *server = context;
    struct upload *upload = *slot;
    (void)version;
    if (!upload) {
        *slot = upload = memory_allocate(1, sizeof *upload);
        size_t announced = announced_length(server, connection);
        return announced > server->body_limit ? refuse_size(server, connection, announced)
                                              : MHD_YES;
    }
    if (*count > 0) {
        enum MHD_Result result = take_bytes(server, upload, bytes, *count);
        *count = 0;
        return result;
    }
    if (upload->too_large)
        return refuse_size(server, connection, upload->length + upload->announced);
    return answer(server, connection, method, path, upload);
}

static void end_request(void *context, struct MHD_Connection *connection, void **slot,
                        enum MHD_RequestTerminationCode code)
{
    struct upload *upload = *slot;
    (void)context, (void)connection, (void)code;
    if (upload)
        free(upload->body);
    free(upload);
    *slot = NULL;
}

/* Paths are taken as they come: no %41 for A. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void report_start(struct api_server *server, int status)
{
    pthread_mutex_lock(&server->lock);
    server->thread_state = status < 0 ? THREAD_FAILED : THREAD_RUNS;
    pthread_cond_signal(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void serve(struct api_server *server)
{
    struct pollfd polled[2] = {{.fd = server->stop, .events = POLLIN}, {.events = POLLIN}};
    polled[1].fd =
        server->library.get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    while (!(polled[0].revents & POLLIN)) {
        MHD_UNSIGNED_LONG_LONG timeout;
        int wait = WAIT_MS;
        server->library.run(server->daemon);
        if (server->library.get_timeout(server->daemon, &timeout) == MHD_YES && timeout < WAIT_MS)
            wait = (int)timeout;
        if (poll(polled, 2, wait) < 0)
            polled[0].revents = 0;
    }
    /* The answers that were queued, as far as they can be written at once. */
    server->library.run(server->daemon);
}

static void *run_thread(void *argument)
{
    struct api_server *server = argument;
    int status = 0;
    prctl(PR_SET_NAME, "hull_api");
    if (server->confine_thread)
        status = server->confine_thread(server->context, &server->start_error);
    report_start(server, status);
    if (status == 0)
        serve(server);
    return NULL;
}

/* ---- starting and stopping ---- */

int api_server_prepare(struct error *err)
{
    struct http_library library;
    return http_library_open(&library, err);
}

static int listen_on(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return error_set(err, ENAMETOOLONG, "Failed to open the API socket at: %s", path);
    memcpy(address.sun_path, path, strlen(path));
    scope_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, errno, "can't make a socket");
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return errno == EADDRINUSE
                   ? error_set(err, 0,
                               "Failed to open the API socket at: %s. Check that it is not already "
                               "used.",
                               path)
                   : error_set(err, errno, "Failed to open the API socket at: %s", path);
    if (listen(fd, API_SERVER_CONNECTIONS) < 0) {
        int code = errno;
        unlink(path);
        return error_set(err, code, "Failed to listen on the API socket at: %s", path);
    }
    return scope_take_fd(&fd);
}

static int start_daemon(struct api_server *server, int fd, struct error *err)
{
    server->daemon = server->library.start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, access_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)API_SERVER_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
    if (!server->daemon) {
        close(fd);
        return error_set(err, 0, "the API's server on '%s' can't be started", server->socket_path);
    }
    return 0;
}

static int start_thread(struct api_server *server, struct error *err)
{
    sigset_t all, old;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&server->thread, NULL, run_thread, server);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code)
        return error_set(err, code, "can't start the API's thread");
    pthread_mutex_lock(&server->lock);
    while (server->thread_state == THREAD_STARTS)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    if (server->thread_state == THREAD_RUNS) {
        server->started = true;
        return 0;
    }
    pthread_join(server->thread, NULL);
    if (err)
        *err = server->start_error;
    return -1;
}

int api_server_start(struct api_server **result, struct control *control, struct handover *handover,
                     const struct api_server_options *options, struct error *err)
{
    struct http_library library;
    if (http_library_open(&library, err) < 0)
        return -1;
    int fd = listen_on(options->socket_path, err);
    if (fd < 0)
        return -1;
    struct api_server *server = memory_allocate(1, sizeof *server);
    *server = (struct api_server){.library = library,
                                  .control = control,
                                  .handover = handover,
                                  .socket_path = memory_copy_string(options->socket_path),
                                  .body_limit = options->body_limit,
                                  .confine_thread = options->confine_thread,
                                  .context = options->context,
                                  .stop = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    if (start_daemon(server, fd, err) < 0 || start_thread(server, err) < 0) {
        api_server_stop(server);
        return -1;
    }
    *result = server;
    return 0;
}

void api_server_stop(struct api_server *server)
{
    if (!server)
        return;
    uint64_t one = 1;
    if (server->started) {
        handover_close(server->handover);
        ssize_t written = write(server->stop, &one, sizeof one);
        (void)written;
        pthread_join(server->thread, NULL);
    }
    if (server->daemon)
        server->library.stop_daemon(server->daemon);
    unlink(server->socket_path);
    if (server->stop >= 0)
        close(server->stop);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server->socket_path);
    free(server);
}
