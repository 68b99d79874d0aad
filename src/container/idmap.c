#include "container/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

static char *format_mappings(const struct config_id_mappings *mappings)
{
    char *text = memory_copy_string("");
    for (size_t i = 0; i < mappings->count; i++) {
        const struct config_id_mapping *item = &mappings->items[i];
        char *longer =
            memory_format("%s%u %u %u\n", text, item->container_id, item->host_id, item->size);
        free(text);
        text = longer;
    }
    return text;
}

static int run_helper(const char *helper, pid_t pid, const struct config_id_mappings *mappings,
                      struct error *err)
{
    char **args = memory_allocate(3 + 3 * mappings->count, sizeof *args);
    size_t count = 0;
    args[count++] = (char *)helper;
    args[count++] = memory_format("%d", pid);
    for (size_t i = 0; i < mappings->count; i++) {
        const struct config_id_mapping *item = &mappings->items[i];
        args[count++] = memory_format("%u", item->container_id);
        args[count++] = memory_format("%u", item->host_id);
        args[count++] = memory_format("%u", item->size);
    }
    args[count] = NULL;
    pid_t child = fork();
    if (child == 0) {
        execvp(helper, args);
        _exit(errno == ENOENT ? 127 : 126);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    for (size_t i = 1; i < count; i++)
        free(args[i]);
    free(args);
    if (child < 0)
        return error_set(err, errno, "can't run %s", helper);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_set(err, 0,
                         "mapping more than one's own id without privilege needs %s (install the "
                         "package uidmap)",
                         helper);
    if (status != 0)
        return error_set(err, 0,
                         "%s refused the mapping (does /etc/subuid or /etc/subgid grant these "
                         "ids?)",
                         helper);
    return 0;
}

static int write_map(pid_t pid, const char *file, const struct config_id_mappings *mappings,
                     struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    scope_free char *text = format_mappings(mappings);
    return file_write_text(AT_FDCWD, path, text, err);
}

static bool is_own_id(const struct config_id_mappings *mappings, uint32_t own)
{
    return mappings->count == 1 && mappings->items[0].size == 1 &&
           mappings->items[0].host_id == own;
}

int idmap_write(pid_t pid, const struct config_id_mappings *uids,
                const struct config_id_mappings *gids, struct error *err)
{
    if (geteuid() == 0) {
        if (write_map(pid, "gid_map", gids, err) < 0)
            return -1;
        return write_map(pid, "uid_map", uids, err);
    }
    if (is_own_id(gids, getegid())) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
        /* user_namespaces(7): who maps a group without privilege gives up setgroups(2). */
        if (file_write_text(AT_FDCWD, path, "deny", err) < 0 ||
            write_map(pid, "gid_map", gids, err) < 0)
            return -1;
    } else if (run_helper("newgidmap", pid, gids, err) < 0) {
        return -1;
    }
    return is_own_id(uids, geteuid()) ? write_map(pid, "uid_map", uids, err)
                                      : run_helper("newuidmap", pid, uids, err);
}

int idmap_open_namespace(const struct config_id_mappings *uids,
                         const struct config_id_mappings *gids, struct error *err)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t parent = getpid();
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child < 0)
        return error_set(err, errno, "can't make a user namespace for a mount's mappings");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) /* it died before we asked to die with it */
            _exit(1);
        for (;;)
            pause();
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", child);
    int fd = -1;
    if (idmap_write(child, uids, gids, err) == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            error_set(err, errno, "can't open the user namespace for a mount's mappings");
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return fd;
}
