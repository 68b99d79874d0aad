/* Runs a command under ptrace and kills somebody at the N-th system call. */
#ifndef HULL_TESTS_RELIABILITY_TRACE_H
#define HULL_TESTS_RELIABILITY_TRACE_H

#include <stdbool.h>
#include <sys/types.h>

enum trace_mode {
    TRACE_ENTRY,  /* the command is killed before its N-th system call is done */
    TRACE_EXIT,   /* … right after it */
    TRACE_CHILD,  /* a process of its making is killed at the N-th system call of all of those */
    TRACE_BEHIND, /* the command is killed at that moment instead */
    TRACE_MODES
};

struct trace {
    enum trace_mode mode;
    long limit;       /* kill at this system call, counted from 1 */
    pid_t also;       /* a process that exists already and counts as a child; or 0 */
    int milliseconds; /* how long the command may take */
    /* Results: */
    long count;     /* system calls seen */
    bool killed;    /* the limit was reached */
    bool timed_out; /* the command didn't end by itself, and was killed for that */
    int status;     /* the command's, as waitpid tells it */
};

/* Standard output and error go to output. Processes that have executed another program (hooks, the
 * container's own) aren't counted. When it returns, the command is dead and nothing is traced. */
void trace_run(struct trace *trace, char *const argv[], int output);

#endif
