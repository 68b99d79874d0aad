/* What the static hull-oci does where it would need a shared library. */
#include "container/hand_over.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"
#include "container/exe_guard.h"
#include "container/seccomp.h"
#include "container/seccomp_compile.h"

#define DYNAMIC_PROGRAM "hull-oci-dynamic"

extern char **environ;

static char **arguments; /* of this process, set once by main */

void hand_over_prepare(char **argv)
{
    arguments = argv;
}

/* Beside the static program in the build tree, else where it is installed. The caller frees. */
static char *find_program(void)
{
    char path[PATH_MAX];
    if (exe_guard_program_path(path, sizeof path) == 0) {
        char *end = strrchr(path, '/');
        if (end)
            *end = '\0';
        static const char *const places[] = {"", "/../libexec/hull"};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            char *found = memory_format("%s%s/" DYNAMIC_PROGRAM, path, places[i]);
            if (access(found, X_OK) == 0)
                return found;
            free(found);
        }
    }
    return memory_copy_string(HULL_LIBEXEC_DIRECTORY "/" DYNAMIC_PROGRAM);
}

int hand_over(const char *need, struct error *err)
{
    scope_free char *program = find_program();
    execve(program, arguments, environ);
    return error_set(err, errno, "%s needs %s, which can't be executed (install hull again)", need,
                     program);
}

/* ---- what the level `container` calls by these names ---- */

int seccomp_compile_filter(const struct config_seccomp *seccomp, struct sock_fprog *filter,
                           char **library_path, struct error *err)
{
    (void)seccomp;
    (void)filter;
    (void)library_path;
    return hand_over("compiling it", err);
}

int seccomp_library_version(char *text, size_t size, struct error *err)
{
    (void)text;
    (void)size;
    return hand_over("libseccomp", err);
}

static int hand_over_systemd(struct error *err)
{
    return hand_over("the systemd cgroup manager", err);
}

int cgroup_systemd_resolve(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                           struct error *err)
{
    (void)cgroup;
    (void)cgroups_path;
    (void)id;
    return hand_over_systemd(err);
}

/* container_open() has handed over before any of these. */

int cgroup_systemd_start(const struct cgroup *cgroup, pid_t pid, const struct config *config,
                         struct error *err)
{
    (void)cgroup;
    (void)pid;
    (void)config;
    return hand_over_systemd(err);
}

int cgroup_systemd_update(const struct cgroup *cgroup, const struct config_resources *resources,
                          struct error *err)
{
    (void)cgroup;
    (void)resources;
    return hand_over_systemd(err);
}

int cgroup_systemd_stop(const struct cgroup *cgroup, struct error *err)
{
    (void)cgroup;
    return hand_over_systemd(err);
}
