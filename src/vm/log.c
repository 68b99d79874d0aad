#include "vm/log.h"

#include <stdio.h>

#include "base/error.h"

static void to_standard_error(enum vm_log_level level, const char *module, const char *text)
{
    if (level <= VM_LOG_WARNING)
        fprintf(stderr, "hull-vmm: %s: %s\n", module, text);
}

static void (*current)(enum vm_log_level level, const char *module,
                       const char *text) = to_standard_error;

void vm_log_set_sink(void (*sink)(enum vm_log_level level, const char *module, const char *text))
{
    __atomic_store_n(&current, sink, __ATOMIC_RELEASE);
}

void vm_log(enum vm_log_level level, const char *module, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    __atomic_load_n(&current, __ATOMIC_ACQUIRE)(level, module, text);
}
