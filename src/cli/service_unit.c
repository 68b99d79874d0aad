#include "cli/service_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

#define MARK "# Written by 'hull system service install', which writes it anew."

extern char **environ;

bool service_unit_is_ours(const char *text)
{
    return strncmp(text, MARK, strlen(MARK)) == 0;
}

/* A word as systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers", read it. */
static char *quote(const char *text)
{
    scope_free char *quoted = memory_allocate(2 * strlen(text) + 3, 1);
    char *at = quoted;
    *at++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        else if (*text == '%' || *text == '$')
            *at++ = *text;
        *at++ = *text;
    }
    *at = '"';
    return scope_take_pointer(quoted);
}

static char *make_absolute(const char *path)
{
    char here[PATH_MAX];
    if (path[0] == '/' || !getcwd(here, sizeof here))
        return memory_copy_string(path);
    return memory_format("%s/%s", here, path);
}

static char *find_self(struct error *err)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) {
        error_set(err, errno, "can't find out which program this is");
        return NULL;
    }
    path[length] = '\0';
    return memory_copy_string(path);
}

char *service_unit_compose(const struct cli_context *context, bool for_user, struct error *err)
{
    scope_free char *self = find_self(err);
    if (!self)
        return NULL;
    scope_free char *root = make_absolute(context->root);
    scope_free char *run_root = make_absolute(context->run_root);
    if (strchr(self, '\n') || strchr(root, '\n') || strchr(run_root, '\n')) {
        error_set(err, 0, "a unit can't name a directory with a line break in its name");
        return NULL;
    }
    scope_free char *program_word = quote(self), *root_word = quote(root),
                    *run_root_word = quote(run_root);
    /* Monitors and containers live on where the unit is stopped or this program replaced. */
    return memory_format(MARK "\n"
                              "[Unit]\n"
                              "Description=hull: containers that restart with the machine\n"
                              "Wants=network-online.target\n"
                              "After=network-online.target nss-lookup.target local-fs.target\n"
                              "RequiresMountsFor=%s\n"
                              "\n"
                              "[Service]\n"
                              "Type=oneshot\n"
                              "RemainAfterExit=yes\n"
                              "ExecStart=%s --root %s --run-root %s system start\n"
                              "KillMode=process\n"
                              "TimeoutStartSec=infinity\n"
                              "TasksMax=infinity\n"
                              "LimitNOFILE=1048576\n"
                              "\n"
                              "[Install]\n"
                              "WantedBy=%s\n",
                         root_word, program_word, root_word, run_root_word,
                         for_user ? "default.target" : "multi-user.target");
}

enum service_told service_tell_systemd(bool for_user, const char *action, const char *unit,
                                       bool quiet)
{
    const char *arguments[6] = {"systemctl"};
    size_t count = 1;
    int status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    if (for_user)
        arguments[count++] = "--user";
    arguments[count++] = action;
    if (unit)
        arguments[count++] = unit;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int code = posix_spawnp(&child, "systemctl", &actions, NULL,
                            (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code)
        return code == ENOENT ? SERVICE_MISSING : SERVICE_FAILED;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? SERVICE_DONE : SERVICE_FAILED;
}
