#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACED_MAX 64

struct traced {
    pid_t pid;
    bool stopped;
};

struct tracer {
    struct trace *trace;
    pid_t command;
    bool command_executed, command_ended;
    size_t count;
    struct traced items[TRACED_MAX]; /* all but the command */
};

static volatile sig_atomic_t alarmed;

static void take_alarm(int signal)
{
    (void)signal;
    alarmed = 1;
}

/* From then on SIGALRM interrupts waitpid; again and again, lest one comes between two. */
static void set_alarm(int milliseconds)
{
    struct sigaction action = {.sa_handler = take_alarm};
    struct itimerval timer = {
        {milliseconds ? 1 : 0, 0},
        {milliseconds / 1000, milliseconds % 1000 * 1000},
    };
    alarmed = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static bool follows_children(const struct trace *trace)
{
    return trace->mode == TRACE_CHILD || trace->mode == TRACE_BEHIND;
}

static long trace_options(const struct trace *trace)
{
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
    if (follows_children(trace))
        options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    return options;
}

static void die(const char *what)
{
    perror(what);
    exit(99);
}

/* The command waits for a byte until it is traced. */
static pid_t spawn(char *const argv[], int output, int *gate)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        char byte;
        int null = open("/dev/null", O_RDONLY);
        if (read(ends[0], &byte, 1) != 1 || dup2(null, 0) < 0 || dup2(output, 1) < 0 ||
            dup2(output, 2) < 0)
            _exit(126);
        close_range(3, ~0U, 0);
        execv(argv[0], argv);
        _exit(127);
    }
    close(ends[0]);
    *gate = ends[1];
    return pid;
}

static struct traced *find(struct tracer *tracer, pid_t pid, bool add)
{
    for (size_t i = 0; i < tracer->count; i++) {
        if (tracer->items[i].pid == pid)
            return &tracer->items[i];
    }
    if (!add || tracer->count == TRACED_MAX)
        return NULL;
    tracer->items[tracer->count] = (struct traced){pid, false};
    return &tracer->items[tracer->count++];
}

static void forget(struct tracer *tracer, pid_t pid)
{
    struct traced *traced = find(tracer, pid, false);
    if (traced)
        *traced = tracer->items[--tracer->count];
}

/* A new process is traced from its beginning, whether or not we have seen it stop yet. */
static void take_new(struct tracer *tracer, pid_t pid, int event)
{
    unsigned long made;
    if ((event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
         event == PTRACE_EVENT_CLONE) &&
        ptrace(PTRACE_GETEVENTMSG, pid, NULL, &made) == 0)
        find(tracer, (pid_t)made, true);
}

/* One system call of the process that stopped. Returns whether it was the last to be let through.
 */
static bool count_call(struct tracer *tracer, pid_t pid)
{
    struct trace *trace = tracer->trace;
    struct __ptrace_syscall_info info;
    if (trace->killed || ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
        return false;
    if (info.op !=
            (trace->mode == TRACE_EXIT ? PTRACE_SYSCALL_INFO_EXIT : PTRACE_SYSCALL_INFO_ENTRY) ||
        ++trace->count != trace->limit)
        return false;
    trace->killed = true;
    kill(trace->mode == TRACE_CHILD ? pid : tracer->command, SIGKILL);
    return trace->mode != TRACE_BEHIND;
}

static void go_on(struct tracer *tracer, pid_t pid, int signal)
{
    bool counted = (pid == tracer->command) != follows_children(tracer->trace);
    ptrace(counted ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, (long)signal);
}

static void take_stop(struct tracer *tracer, pid_t pid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    bool is_command = pid == tracer->command;
    struct traced *child = is_command ? NULL : find(tracer, pid, true);
    if (child)
        child->stopped = true;
    take_new(tracer, pid, event);
    if (signal == (SIGTRAP | 0x80)) {
        if (tracer->command_executed && count_call(tracer, pid))
            return;
        signal = 0;
    } else if (event == PTRACE_EVENT_EXEC) {
        if (!is_command) { /* a program now: none of ours any more */
            ptrace(PTRACE_DETACH, pid, NULL, 0L);
            forget(tracer, pid);
            return;
        }
        tracer->command_executed = true;
        signal = 0;
    } else if (event) {
        signal = 0;
    }
    child = find(tracer, pid, false);
    if (child)
        child->stopped = false;
    go_on(tracer, pid, signal);
}

/* Lets go of all that are still traced, wherever they are. */
static void detach_all(struct tracer *tracer)
{
    while (tracer->count > 0) {
        pid_t pid = tracer->items[0].pid;
        int status;
        if (!tracer->items[0].stopped && ptrace(PTRACE_INTERRUPT, pid, NULL, 0L) == 0) {
            /* One that dies instead is reaped by this. */
            if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) {
                forget(tracer, pid);
                continue;
            }
            take_new(tracer, pid, status >> 16);
            bool plain = !(status >> 16) && WSTOPSIG(status) != (SIGTRAP | 0x80);
            ptrace(PTRACE_DETACH, pid, NULL, plain ? (long)WSTOPSIG(status) : 0L);
        } else {
            ptrace(PTRACE_DETACH, pid, NULL, 0L);
        }
        forget(tracer, pid);
    }
}

static void seize_also(struct tracer *tracer)
{
    pid_t pid = tracer->trace->also;
    int status;
    if (!pid)
        return;
    if (ptrace(PTRACE_SEIZE, pid, NULL, trace_options(tracer->trace)) < 0 ||
        ptrace(PTRACE_INTERRUPT, pid, NULL, 0L) < 0 || waitpid(pid, &status, __WALL) != pid)
        die("can't trace the container's first process");
    find(tracer, pid, true);
    go_on(tracer, pid, 0);
}

void trace_run(struct trace *trace, char *const argv[], int output)
{
    struct tracer tracer = {.trace = trace};
    int gate;
    tracer.command = spawn(argv, output, &gate);
    if (ptrace(PTRACE_SEIZE, tracer.command, NULL, trace_options(trace)) < 0)
        die("can't trace");
    if (write(gate, "", 1) != 1)
        die("write");
    close(gate);
    seize_also(&tracer);
    set_alarm(trace->milliseconds);
    while (!tracer.command_ended) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            if (errno != EINTR)
                die("waitpid");
            if (alarmed) {
                trace->timed_out = true;
                kill(tracer.command, SIGKILL);
            }
        } else if (WIFSTOPPED(status)) {
            take_stop(&tracer, pid, status);
        } else if (pid == tracer.command) {
            trace->status = status;
            tracer.command_ended = true;
        } else {
            forget(&tracer, pid);
        }
    }
    set_alarm(0);
    detach_all(&tracer);
}
