#ifndef HULL_MONITOR_LOG_ROTATE_H
#define HULL_MONITOR_LOG_ROTATE_H

#include "monitor/log_file.h"

/* Renames log to log.1, log.1 to log.2 and so on (with .gz, where they are compressed), up to
 * max_file files; starts compressing. The log must be closed, and gzip not be running. */
void log_rotate(struct log_file *log);

#endif
