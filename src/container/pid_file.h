/* --pid-file: where clients read the pid of the first process. */
#ifndef HULL_CONTAINER_PID_FILE_H
#define HULL_CONTAINER_PID_FILE_H

#include <sys/types.h>

#include "base/error.h"

/* Written before it has a name: a reader never sees half a number, and nothing is left of a writer
 * that was killed. */
int pid_file_write(const char *path, pid_t pid, struct error *err);

/* Removes the file if it is there and names this pid: another container's stays. */
void pid_file_remove(const char *path, pid_t pid);

#endif
