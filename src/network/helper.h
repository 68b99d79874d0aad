/* The processes that hull leaves beside a container's network: hull-port, hull-dns, pasta. Each is
 * known by its pid and the moment it began. */
#ifndef HULL_NETWORK_HELPER_H
#define HULL_NETWORK_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct helper {
    pid_t pid;
    long long start; /* network_process_start() */
};

/* Where one of hull's own programs is: beside this one, in libexec, or in the build tree. The
 * caller frees. */
char *helper_find(const char *program);

/* Executes argv[0], a path, in a session of its own with / as directory, nobody's child. Its
 * standard input is *input's reading end, which the caller writes to and closes; its output goes
 * nowhere; count descriptors become 3 and following. */
int helper_start(const char *const *argv, const int *descriptors, size_t count,
                 struct helper *helper, int *input, struct error *err);
/* Writes the text to its input. */
int helper_tell(int input, const char *text, struct error *err);
/* A descriptor of the process (pidfd) if it still is the same, or -1. */
int helper_open(const struct helper *helper);
/* Ends it, and returns when it has ended. */
int helper_stop(const struct helper *helper, struct error *err);

#endif
