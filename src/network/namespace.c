/* Containers' network namespaces, each pinned by a bind mount of its file onto
 * RUN_ROOT/network/ns/ID: it lives as long as the pin or a process in it. The pin is taken away by
 * unmounting and unlinking: from inside of another mount namespace (a monitor's) the first does
 * nothing to the host's, and the second takes it away from all namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "network/network_internal.h"

char *network_namespace_path(const struct networks *networks, const char *container_id)
{
    return memory_format("%s/ns/%s", networks->directory, container_id);
}

static int pin(const char *source, const char *path, struct error *err)
{
    scope_close int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (file < 0)
        return error_set(err, errno, "can't make %s", path);
    if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
        error_set(err, errno, "can't pin a network namespace to %s", path);
        unlink(path);
        return -1;
    }
    return 0;
}

/* Runs in the new namespace. */
static int set_up_loopback(void *context, struct error *err)
{
    (void)context;
    scope_netlink struct netlink netlink = {.fd = -1};
    if (netlink_open(&netlink, NETLINK_ROUTE, err) < 0)
        return -1;
    link_set_up(&netlink, "lo");
    return netlink_flush(&netlink, err);
}

static int return_to(int own, struct error *err)
{
    if (setns(own, CLONE_NEWNET) == 0)
        return 0;
    /* Going on would change the wrong namespace. */
    error_set(err, errno, "can't return to the host's network namespace");
    static const char message[] = "hull: can't return to the host's network namespace\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(125);
}

static int open_own(struct error *err)
{
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        error_set(err, errno, "can't open /proc/thread-self/ns/net");
    return own;
}

static int make_here(const char *path, struct error *err)
{
    scope_close int own = open_own(err);
    if (own < 0)
        return -1;
    if (unshare(CLONE_NEWNET) < 0)
        return error_set(err, errno, "can't make a network namespace");
    int result = pin("/proc/thread-self/ns/net", path, err);
    if (result == 0)
        result = set_up_loopback(NULL, err);
    return return_to(own, err) < 0 ? -1 : result;
}

/* A namespace that another user namespace owns is made by a process that has entered it; also one
 * of a user's other than root, who couldn't come back to the host's. The child brings its loopback
 * up. */
static int make_in_child(const char *path, int user_namespace, struct error *err)
{
    int made[2], finish[2];
    char byte = 0, source[40];
    if (pipe2(made, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    if (pipe2(finish, O_CLOEXEC) < 0) {
        close(made[0]);
        close(made[1]);
        return error_set(err, errno, "can't make a pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(finish[1]);
        if ((user_namespace <= 0 || setns(user_namespace, CLONE_NEWUSER) == 0) &&
            unshare(CLONE_NEWNET) == 0 && set_up_loopback(NULL, NULL) == 0 &&
            write(made[1], "", 1) == 1 && read(finish[0], &byte, 1) == 0)
            _exit(0);
        _exit(1);
    }
    close(made[1]);
    close(finish[0]);
    int result = 0;
    if (pid < 0)
        result = error_set(err, errno, "can't make a process");
    else if (read(made[0], &byte, 1) != 1)
        result = error_set(err, 0, "can't make a network namespace in the user namespace");
    snprintf(source, sizeof source, "/proc/%d/ns/net", (int)pid);
    if (result == 0)
        result = pin(source, path, err);
    close(made[0]);
    close(finish[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}

int namespace_open(const struct networks *networks, const char *id, struct error *err)
{
    scope_free char *path = network_namespace_path(networks, id);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        error_set(err, errno, "can't open the network namespace %s", path);
    return fd;
}

int namespace_make(const struct networks *networks, const char *id, int user_namespace,
                   struct error *err)
{
    scope_free char *path = network_namespace_path(networks, id);
    /* What stands there has no record, or this one wouldn't be new: its database was removed. */
    if (network_make_directories(networks, err) < 0 || namespace_drop(networks, id, err) < 0)
        return -1;
    int result = user_namespace > 0 || networks->rootless ? make_in_child(path, user_namespace, err)
                                                          : make_here(path, err);
    return result < 0 ? -1 : namespace_open(networks, id, err);
}

int namespace_drop(const struct networks *networks, const char *id, struct error *err)
{
    scope_free char *path = network_namespace_path(networks, id);
    /* EINVAL: it isn't mounted here; a copy of the mount in another mount namespace, or none. */
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        return error_set(err, errno, "can't unmount %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove %s", path);
    return 0;
}

int namespace_run_inside(int namespace, int (*work)(void *context, struct error *err),
                         void *context, struct error *err)
{
    scope_close int own = open_own(err);
    if (own < 0)
        return -1;
    if (setns(namespace, CLONE_NEWNET) < 0)
        return error_set(err, errno, "can't enter a container's network namespace");
    int result = work(context, err);
    return return_to(own, err) < 0 ? -1 : result;
}
