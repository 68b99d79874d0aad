#include "engine/rootless.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "base/user_namespace.h"
#include "container/idmap.h"
#include "monitor/status.h"

#define RANGES_MAX 32
#define FILE_LIMIT (1 << 20) /* of /etc/subuid */

bool rootless_is_active(void)
{
    return geteuid() != 0 || !user_namespace_is_first();
}

/* ---- Which ids ---- */

/* The user as 0, and what /etc/subuid or /etc/subgid grants from 1 on. */
static void find_ids(const char *path, const char *name, uid_t user, unsigned int own,
                     struct config_id_mappings *ids)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, FILE_LIMIT, NULL, NULL);
    char *rest = text;
    unsigned int next = 1;
    ids->items[0] = (struct config_id_mapping){0, own, 1};
    ids->count = 1;
    for (char *line; rest && ids->count < RANGES_MAX && (line = strsep(&rest, "\n"));) {
        unsigned int first, count, number;
        char *colon = strchr(line, ':'), end;
        if (!colon || sscanf(colon, ":%u:%u", &first, &count) != 2 || count == 0)
            continue;
        *colon = '\0';
        bool is_number = sscanf(line, "%u%c", &number, &end) == 1 && number == user;
        if (!is_number && (!name || strcmp(line, name) != 0))
            continue;
        if (count > UINT32_MAX - next)
            continue;
        ids->items[ids->count++] = (struct config_id_mapping){next, first, count};
        next += count;
    }
}

static int map_ids(pid_t keeper, struct error *err)
{
    struct config_id_mapping uid_items[RANGES_MAX], gid_items[RANGES_MAX];
    struct config_id_mappings uids = {.items = uid_items}, gids = {.items = gid_items};
    const struct passwd *user = getpwuid(geteuid());
    const char *name = user ? user->pw_name : NULL;
    find_ids("/etc/subuid", name, geteuid(), geteuid(), &uids);
    find_ids("/etc/subgid", name, geteuid(), getegid(), &gids);
    /* One without the other is of no use. */
    if (uids.count == 1 || gids.count == 1)
        uids.count = gids.count = 1;
    return idmap_write(keeper, &uids, &gids, err);
}

/* ---- The keeper ---- */

struct steps {
    int made[2]; /* from the keeper: the namespaces are there, and then: it is ready */
    int go[2];   /* to it: the ids are mapped */
};

static void keep(const struct steps *steps)
{
    char byte = 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        byte = (char)errno;
    if (write(steps->made[1], &byte, 1) != 1 || byte || read(steps->go[0], &byte, 1) != 1 ||
        setsid() < 0 || chdir("/") < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        _exit(1);
    prctl(PR_SET_NAME, "hull-keeper");
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGTERM ? SIG_DFL : SIG_IGN);
    int nothing = open("/dev/null", O_RDWR);
    int report = fcntl(steps->made[1], F_DUPFD, 3);
    for (int fd = 0; fd < 3; fd++)
        dup2(nothing, fd);
    file_close_others(3, &report, 1, NULL);
    if (write(report, &byte, 1) != 1)
        _exit(1);
    close(report);
    for (;;)
        pause();
}

static int await(int fd, const char *what, struct error *err)
{
    char byte = 0;
    ssize_t count;
    do
        count = read(fd, &byte, 1);
    while (count < 0 && errno == EINTR);
    if (count == 1 && byte == 0)
        return 0;
    return error_set(err, count == 1 ? byte : 0,
                     "can't make a user namespace: %s (does this system allow users to?)", what);
}

/* Steps between us and the keeper; what it is, is in the file afterwards. */
static int start_keeper(int directory, struct error *err)
{
    struct steps steps;
    if (pipe2(steps.made, O_CLOEXEC) < 0 || pipe2(steps.go, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    pid_t pid = fork();
    if (pid == 0)
        keep(&steps);
    close(steps.made[1]);
    close(steps.go[0]);
    scope_close int made = steps.made[0], go = steps.go[1];
    char text[64];
    snprintf(text, sizeof text, "%d %llu\n", (int)pid, pid > 0 ? status_start_time(pid) : 0);
    scope_close int file =
        openat(directory, "namespace.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = -1;
    if (pid < 0)
        error_set(err, errno, "can't make a process");
    else if (await(made, "unshare", err) == 0 && map_ids(pid, err) == 0) {
        if (write(go, "", 1) == 1 && await(made, "the keeper failed", err) == 0 && file >= 0 &&
            file_write_all(file, text, strlen(text)) == 0 &&
            renameat(directory, "namespace.new", directory, "namespace") == 0)
            result = pid;
        else
            error_set(err, errno, "can't keep a user namespace");
    }
    if (result < 0 && pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return result;
}

static pid_t find_keeper(int directory)
{
    int pid;
    unsigned long long start;
    scope_free char *text = file_read_all(directory, "namespace", 64, NULL, NULL);
    if (!text || sscanf(text, "%d %llu", &pid, &start) != 2 || pid <= 1)
        return 0;
    /* One that was killed may still be there, until its parent asks, but has no namespaces. */
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
    scope_close int namespace = open(path, O_RDONLY | O_CLOEXEC);
    return namespace >= 0 && status_start_time(pid) == start ? pid : 0;
}

/* ---- Entering ---- */

static int join(pid_t keeper, struct error *err)
{
    char path[64], here[4096];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)keeper);
    scope_close int user = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)keeper);
    scope_close int mounts = open(path, O_RDONLY | O_CLOEXEC);
    const char *directory = getcwd(here, sizeof here);
    if (user < 0 || mounts < 0 || setns(user, CLONE_NEWUSER) < 0 || setns(mounts, CLONE_NEWNS) < 0)
        return error_set(err, errno, "can't enter the user namespace of process %d", (int)keeper);
    if (!directory || chdir(directory) < 0)
        return chdir("/");
    return 0;
}

/* Nobody else may have made it for us. */
static int open_run_root(const char *run_root, struct error *err)
{
    struct stat status;
    if (file_make_directories(run_root, 0700, err) < 0)
        return -1;
    scope_close int fd = open(run_root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open %s", run_root);
    if (status.st_uid != geteuid() || (status.st_mode & 022))
        return error_set(
            err, 0, "%s isn't a directory of yours alone (name another with --run-root)", run_root);
    return scope_take_fd(&fd);
}

int rootless_enter(const char *run_root, struct error *err)
{
    if (geteuid() == 0)
        return 0;
    scope_close int directory = open_run_root(run_root, err);
    if (directory < 0)
        return -1;
    if (file_lock(directory, LOCK_EX) < 0)
        return error_set(err, errno, "can't lock %s", run_root);
    pid_t keeper = find_keeper(directory);
    if (!keeper)
        keeper = start_keeper(directory, err);
    return keeper < 0 ? -1 : join(keeper, err);
}
