#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/rootpath.h"
#include "container/signals.h"
#include "guest.h"

/* Where the container's files are seen as it sees them: in its mount namespace while it runs. The
 * working directory becomes our /proc/self/fd, where descriptors have names: the container's own
 * /proc could be anything. */
static int open_root(const struct guest *guest, int container, struct error *err)
{
    if (!guest->is_booted)
        return error_set(err, EAGAIN, "the machine has no container yet");
    scope_close int names = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (container >= 0 && setns(container, CLONE_NEWNS) < 0)
        return error_set(err, errno, "can't join the container");
    if (fchdir(names) < 0)
        return error_set(err, errno, "can't enter /proc/self/fd");
    int root = open(container >= 0 ? "/" : GUEST_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? error_set(err, errno, "can't open the container's root") : root;
}

static json_t *describe(int root, const char *path, struct error *err)
{
    char target[4096] = "";
    struct stat status;
    scope_close int fd = rootpath_open(root, path, O_PATH | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0) {
        error_set(err, errno, "%s", path);
        return NULL;
    }
    ssize_t length = S_ISLNK(status.st_mode) ? readlinkat(fd, "", target, sizeof target) : 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    json_t *document =
        json_pack("{s:s, s:s%, s:I, s:I, s:I, s:I, s:I}", "name", *name ? name : "/", "link",
                  target, length > 0 ? (size_t)length : 0, "size", (json_int_t)status.st_size,
                  "mode", (json_int_t)status.st_mode, "uid", (json_int_t)status.st_uid, "gid",
                  (json_int_t)status.st_gid, "mtime",
                  (json_int_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec);
    if (!document)
        error_set(err, EILSEQ, "%s has a name that can't be told", path);
    return document;
}

static int send_document(int fd, unsigned int type, json_t *document)
{
    scope_free char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    return text ? frames_put(fd, type, text, strlen(text)) : -1;
}

static int send_error(int fd, const struct error *err)
{
    json_t *document = json_pack("{s:s, s:i}", "error", err->text, "code", err->code);
    if (!document)
        document =
            json_pack("{s:s, s:i}", "error", "the reason can't be written", "code", err->code);
    return send_document(fd, AGENT_ERROR, document);
}

static int copy_out(int fd, int root, const char *path, struct error *err)
{
    json_t *status = describe(root, path, err);
    if (!status)
        return -1;
    if (send_document(fd, AGENT_REPLY, status) < 0)
        return error_set(err, errno, "can't reply");
    struct copy_output *output = memory_allocate(1, sizeof *output);
    output->fd = fd;
    int result = tar_write_tree(output, root, path, err);
    if (result == 0)
        frames_put(fd, AGENT_END, NULL, 0);
    free(output);
    return result;
}

static int copy_in(int fd, int root, const char *path, const json_t *document, struct error *err)
{
    const json_t *owner = json_object_get(document, "owner");
    struct tar_extraction plan = {
        .root = root,
        .path = path,
        .has_owner = owner != NULL,
        .uid = (uint32_t)json_integer_value(json_object_get(owner, "uid")),
        .gid = (uint32_t)json_integer_value(json_object_get(owner, "gid")),
    };
    /* The host waits for this before it sends. */
    if (send_document(fd, AGENT_REPLY, json_object()) < 0)
        return error_set(err, errno, "can't reply");
    struct copy_input *input = memory_allocate(1, sizeof *input);
    input->fd = fd;
    if (tar_extract(input, &plan, err) == 0)
        send_document(fd, AGENT_REPLY, json_object());
    else if (send_error(fd, err) == 0)
        copy_drain(input, NULL); /* closed with something unread, the answer could be lost */
    free(input);
    return 0;
}

static int serve(int fd, const struct guest *guest, int container, const json_t *document,
                 enum copy_kind kind, struct error *err)
{
    const char *path = json_string_value(json_object_get(document, "path"));
    if (!path || !*path)
        return error_set(err, EINVAL, "a file's path is missing");
    scope_close int root = open_root(guest, container, err);
    if (root < 0)
        return -1;
    if (kind == COPY_OUT)
        return copy_out(fd, root, path, err);
    if (kind == COPY_IN)
        return copy_in(fd, root, path, document, err);
    json_t *status = describe(root, path, err);
    return status ? send_document(fd, AGENT_REPLY, status) : -1;
}

static _Noreturn void run(int fd, const struct guest *guest, int container, const json_t *document,
                          enum copy_kind kind)
{
    struct error err = {0};
    const int kept[] = {fd, container};
    signals_reset();
    signal(SIGPIPE, SIG_IGN);
    umask(0);
    fcntl(fd, F_SETFL, 0);
    file_close_others(3, kept, 2, &err);
    if (serve(fd, guest, container, document, kind, &err) < 0)
        send_error(fd, &err);
    _exit(0);
}

int copy_start(struct connection *connection, const json_t *document, enum copy_kind kind,
               struct error *err)
{
    struct guest *guest = connection->guest;
    scope_close int container = process_container_pidfd(guest);
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "can't make a process");
    if (pid == 0)
        run(connection->frames.source.fd, guest, container, document, kind);
    connection_close(connection);
    return 0;
}
