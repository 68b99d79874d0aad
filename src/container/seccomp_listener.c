/* Hands a notification descriptor to the seccomp agent (config-linux.md "The Container Process
 * State"). */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/seccomp.h"

#define AGENT_PATIENCE 10 /* seconds until an agent that doesn't accept or read is given up */

/* A path too long for sun_path is reached through a descriptor of its directory, which the caller
 * keeps open until it is connected. */
static int fill_address(struct sockaddr_un *address, const char *path, int *directory,
                        struct error *err)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof address->sun_path) {
        strcpy(address->sun_path, path);
        return 0;
    }
    scope_free char *directory_copy = memory_copy_string(path);
    scope_free char *name_copy = memory_copy_string(path);
    *directory = open(dirname(directory_copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*directory < 0)
        return error_set(err, errno, "can't open the directory of the seccomp listener %s", path);
    int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s",
                          *directory, basename(name_copy));
    if (length < 0 || (size_t)length >= sizeof address->sun_path)
        return error_set(err, ENAMETOOLONG, "can't connect to the seccomp listener %s", path);
    return 0;
}

static int connect_agent(const char *path, struct error *err)
{
    struct sockaddr_un address;
    scope_close int directory = -1;
    if (fill_address(&address, path, &directory, err) < 0)
        return -1;
    scope_close int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (agent < 0)
        return error_set(err, errno, "can't make a socket for the seccomp listener");
    struct timeval patience = {.tv_sec = AGENT_PATIENCE};
    if (setsockopt(agent, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
        return error_set(err, errno, "can't limit the wait for the seccomp listener");
    int result;
    do {
        result = connect(agent, (struct sockaddr *)&address, sizeof address);
    } while (result < 0 && errno == EINTR);
    if (result < 0)
        return error_set(err, errno, "can't connect to the seccomp listener %s", path);
    return scope_take_fd(&agent);
}

/* The descriptor goes with the first bytes, and only with them. */
static int send_state(int agent, const char *text, size_t length, int listener)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof listener);
    memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
    bool descriptor_sent = false;
    while (length > 0) {
        struct iovec part = {.iov_base = (char *)text, .iov_len = length};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (!descriptor_sent) {
            message.msg_control = &control;
            message.msg_controllen = sizeof control.room;
        }
        ssize_t sent = sendmsg(agent, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        descriptor_sent = true;
        text += sent;
        length -= (size_t)sent;
    }
    return 0;
}

int seccomp_send_listener(const char *listener_path, int listener, const char *oci_version, int pid,
                          const char *metadata, struct json_t *state, struct error *err)
{
    json_t *document = json_pack("{s:s, s:[s], s:i, s:s*, s:O}", "ociVersion", oci_version, "fds",
                                 "seccompFd", "pid", pid, "metadata", metadata, "state", state);
    scope_free char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text)
        return error_set(err, 0, "can't describe the container to the seccomp listener %s",
                         listener_path);
    scope_close int agent = connect_agent(listener_path, err);
    if (agent < 0)
        return -1;
    if (send_state(agent, text, strlen(text), listener) < 0)
        return error_set(err, errno, "can't send to the seccomp listener %s", listener_path);
    return 0;
}
