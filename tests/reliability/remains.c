#include "remains.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void remains_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* Reaps what is dead; returns whether a child is left. */
static bool has_children(void)
{
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);
        if (pid == 0)
            return true;
        if (pid < 0 && errno != EINTR)
            return false;
    }
}

bool remains_wait(pid_t pid, int milliseconds, int *status)
{
    sigset_t child, previous;
    bool in_time = true;
    struct timespec second = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &previous);
    for (;;) {
        int ended_status;
        pid_t ended = waitpid(-1, &ended_status, WNOHANG | __WALL);
        if (ended == pid) {
            if (status)
                *status = ended_status;
            break;
        }
        if (ended > 0)
            continue;
        if (kill(pid, 0) < 0)
            break;
        if (sigtimedwait(&child, NULL, &second) < 0 && errno == EAGAIN) {
            in_time = false;
            kill(pid, SIGKILL);
        }
    }
    sigprocmask(SIG_SETMASK, &previous, NULL);
    return in_time;
}

static int read_children(pid_t *pids, int max)
{
    char path[64];
    int count = 0, pid;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *file = fopen(path, "re");
    while (file && count < max && fscanf(file, "%d", &pid) == 1)
        pids[count++] = pid;
    if (file)
        fclose(file);
    return count;
}

static void describe_process(char *text, size_t size)
{
    pid_t pids[8];
    int count = read_children(pids, 8);
    char path[64], line[256] = "", state[2048] = "";
    if (count == 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/cmdline", pids[0]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    for (ssize_t i = 0; i + 1 < length; i++) {
        if (!line[i])
            line[i] = ' ';
    }
    snprintf(path, sizeof path, "/proc/%d/stack", pids[0]);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? 0 : read(fd, state, 300);
    close(fd);
    for (ssize_t i = 0; i < length; i++) {
        if (state[i] == '\n')
            state[i] = ' ';
    }
    snprintf(text, size, "process %d of %d is left: %s %s", pids[0], count, line, state);
}

static bool find_mount(const struct place *place, char *text, size_t size)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && !found && getline(&line, &room, file) >= 0) {
        found = strstr(line, place->directory);
        if (found)
            snprintf(text, size, "a mount is left: %.*s", (int)strcspn(line, "\n"), line);
    }
    if (file)
        fclose(file);
    free(line);
    return found;
}

/* The container's directory in hierarchy number index; false after the last. */
static bool name_cgroup(const struct place *place, int index, char path[PATH_MAX])
{
    static char mount_points[32][256];
    static int count = -1;
    if (count < 0) {
        char *line = NULL;
        size_t room = 0;
        FILE *file = fopen("/proc/self/mountinfo", "re");
        count = 0;
        while (file && count < 32 && getline(&line, &room, file) >= 0) {
            if ((strstr(line, " - cgroup ") || strstr(line, " - cgroup2 ")) &&
                sscanf(line, "%*s %*s %*s %*s %255s", mount_points[count]) == 1)
                count++;
        }
        if (file)
            fclose(file);
        free(line);
    }
    if (index >= count)
        return false;
    snprintf(path, PATH_MAX, "%s/%s", mount_points[index], place->id);
    return true;
}

static bool find_cgroup(const struct place *place, char *text, size_t size)
{
    char path[PATH_MAX];
    for (int i = 0; name_cgroup(place, i, path); i++) {
        if (access(path, F_OK) == 0) {
            snprintf(text, size, "a cgroup is left: %s", path);
            return true;
        }
    }
    return false;
}

/* Any entry but the one that is expected. */
static bool find_file(const char *path, const char *expected, bool remove, char *text, size_t size)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    bool found = false;
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, expected) == 0)
            continue;
        if (remove)
            unlinkat(dirfd(directory), entry->d_name, 0);
        snprintf(text, size, "a file is left: %s/%s", path, entry->d_name);
        found = true;
    }
    if (directory)
        closedir(directory);
    return found;
}

static bool find_any(const struct place *place, char *text, size_t size)
{
    if (has_children()) {
        describe_process(text, size);
        return true;
    }
    return find_mount(place, text, size) || find_cgroup(place, text, size) ||
           find_file(place->root, ".seccomp", false, text, size) ||
           find_file(place->pids, "pid", false, text, size);
}

bool remains_none(const struct place *place, int milliseconds, char *text, size_t size)
{
    text[0] = '\0';
    for (int waited = 0; find_any(place, text, size); waited++) {
        if (waited >= milliseconds)
            return false;
        usleep(1000);
    }
    return true;
}

void remains_scrub(const struct place *place)
{
    char ignored[512], path[PATH_MAX];
    for (int tries = 0; tries < 1000 && has_children(); tries++) {
        pid_t pids[64];
        int count = read_children(pids, 64);
        for (int i = 0; i < count; i++)
            kill(pids[i], SIGKILL);
        usleep(1000);
    }
    for (int i = 0; name_cgroup(place, i, path); i++)
        rmdir(path);
    find_file(place->root, ".seccomp", true, ignored, sizeof ignored);
    find_file(place->pids, "", true, ignored, sizeof ignored);
}
