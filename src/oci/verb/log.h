/* The log of hull-oci (--log, --log-format, --debug): lines as runc writes them, because
 * containerd and Podman read the last error from there. */
#ifndef HULL_OCI_VERB_LOG_H
#define HULL_OCI_VERB_LOG_H

#include <stdbool.h>

#include "base/error.h"

struct log {
    int fd; /* -1: no --log was given */
    bool json;
    bool debug;
};

/* path may be NULL. */
int log_open(struct log *log, const char *path, bool json, bool debug, struct error *err);

/* level: "error", "warning", "debug" (dropped unless --debug). Without a log file, debug lines
 * and warnings go to standard error; errors don't, since the verb prints those. */
void log_write(const struct log *log, const char *level, const char *message);

#endif
