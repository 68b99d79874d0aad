/* Kills a process that lives too shortly for a shell to find it:
 *
 *     kill_process PID MILLISECONDS DELAY PART...
 *
 * Looks for as long as process PID is there, and MILLISECONDS longer, for a process whose command
 * line, its words joined by spaces, contains every PART; DELAY microseconds after it has found the
 * first, kills it with SIGKILL. Prints its pid. Fails if there was none, or if it had ended by
 * then. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool matches(int proc, const char *pid, char *const *parts)
{
    char path[64], line[4096];
    snprintf(path, sizeof path, "%.20s/cmdline", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    if (count <= 0 || atoi(pid) == getpid())
        return false;
    for (ssize_t i = 0; i < count; i++)
        line[i] = line[i] ? line[i] : ' ';
    line[count] = '\0';
    for (; *parts; parts++)
        if (!strstr(line, *parts))
            return false;
    return true;
}

static pid_t find_process(char *const *parts)
{
    DIR *directory = opendir("/proc");
    pid_t found = 0;
    for (const struct dirent *entry; found == 0 && directory && (entry = readdir(directory));)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            matches(dirfd(directory), entry->d_name, parts))
            found = (pid_t)atoi(entry->d_name);
    if (directory)
        closedir(directory);
    return found;
}

/* A process that has ended can be killed too, until somebody waits for it. */
static bool has_ended(pid_t pid)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    size_t count = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[count] = '\0';
    const char *state = strrchr(line, ')');
    return !state || !state[1] || strchr("ZX", state[2]);
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    long long end = now() + atoi(argv[2]);
    pid_t pid;
    while ((pid = find_process(argv + 4)) == 0) {
        if (!has_ended(atoi(argv[1])))
            end = now() + atoi(argv[2]);
        if (now() > end)
            return 1;
    }
    usleep((unsigned int)atoi(argv[3]));
    if (has_ended(pid) || kill(pid, SIGKILL) < 0)
        return 1;
    printf("%d\n", pid);
    return 0;
}
