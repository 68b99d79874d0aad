/* Warnings: what went wrong without being the caller's failure. Who calls decides where they go. */
#ifndef HULL_BASE_WARNING_H
#define HULL_BASE_WARNING_H

#include "base/error.h"

struct warnings {
    void (*say)(const struct warnings *warnings, const char *text);
};

/* Says err->text; warnings may be NULL. */
static inline void warnings_say(const struct warnings *warnings, const struct error *err)
{
    if (warnings)
        warnings->say(warnings, err->text);
}

#endif
