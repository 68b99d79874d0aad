#ifndef HULL_BASE_PROCESS_H
#define HULL_BASE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* When a process started, in clock ticks since boot: tells it from a later one of the same id; and
 * the letter of its state (proc_pid_stat(5), fields 22 and 3). -1 with errno if there is none. */
int process_start_time(pid_t pid, uint64_t *start_time, char *state);

#endif
