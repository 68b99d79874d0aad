/* Programs of the distribution that do what is not hull's to do: mkfs.erofs, mke2fs, apt-get,
 * dpkg-deb … */
#ifndef HULL_VM_IMAGE_TOOL_H
#define HULL_VM_IMAGE_TOOL_H

#include <stdbool.h>

#include "base/error.h"

struct tool {
    const char *const *argv; /* argv[0] is looked for in PATH and where administrators' programs
                                are; ends with NULL */
    const char *package;     /* to install where it is missing */
    const char *variable;    /* "NAME=VALUE" for its environment; NULL: none */
    const char *directory;   /* to run it in; NULL: the present one */
    char **output;           /* unless NULL: what it printed, at most 1 MiB; the caller frees */
};

/* Runs it to its end. A status other than 0 is an error with the last line that it said. */
int tool_run(const struct tool *tool, struct error *err);
/* Whether it is on this machine. */
bool tool_exists(const char *program);

#endif
