/* The status file: written by the monitor, or by who recovers from its loss. */
#ifndef HULL_MONITOR_STATUS_H
#define HULL_MONITOR_STATUS_H

#include "monitor/monitor.h"

/* Writes the file `status` into a directory. health: docker's object, borrowed, or NULL. */
int status_write(const char *directory, const struct monitor_status *status, const json_t *health,
                 struct error *err);

/* The file as it stands, nothing looked up. 1: read; 0: there is none; -1: failed. */
int status_read_file(const char *directory, struct monitor_status *status, struct error *err);

/* Field 22 of /proc/PID/stat, or 0. */
unsigned long long status_start_time(pid_t pid);

#endif
