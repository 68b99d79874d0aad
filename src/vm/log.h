/* The monitor's log: what happens that no caller can be told as an error. */
#ifndef HULL_VM_LOG_H
#define HULL_VM_LOG_H

#include <stdarg.h>

enum vm_log_level { VM_LOG_ERROR, VM_LOG_WARNING, VM_LOG_INFO, VM_LOG_DEBUG, VM_LOG_TRACE };

/* Says one line, without its end. module is the part of the monitor: "block", "board". Any thread.
 */
void vm_log(enum vm_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where lines go, one for the process; until it is set, errors and warnings go to standard error.
 */
void vm_log_set_sink(void (*sink)(enum vm_log_level level, const char *module, const char *text));

#endif
