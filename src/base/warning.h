/* What is said beside the result: warnings (what went wrong without being the caller's failure) and
 * notes (what is being done, step by step). Who calls decides where they go. */
#ifndef HULL_BASE_WARNING_H
#define HULL_BASE_WARNING_H

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

struct warnings {
    void (*say)(const struct warnings *warnings, const char *text);
    void (*note)(const struct warnings *warnings, const char *text); /* NULL: nobody listens */
};

/* Says err->text; warnings may be NULL. */
static inline void warnings_say(const struct warnings *warnings, const struct error *err)
{
    if (warnings)
        warnings->say(warnings, err->text);
}

/* Notes a step; warnings may be NULL. Costs nothing when nobody listens. */
__attribute__((format(printf, 2, 3))) static inline void
warnings_note(const struct warnings *warnings, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    if (!warnings || !warnings->note)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    warnings->note(warnings, text);
}

#endif
