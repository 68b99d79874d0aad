/* The container's terminal: a pseudoterminal of its own devpts, whose master goes out to the
 * runtime or to the client's console socket. */
#ifndef HULL_CONTAINER_CONSOLE_H
#define HULL_CONTAINER_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/config.h"

/* Opens a new pseudoterminal below root's /dev/pts (the host's, if the container has none), of
 * the size that process asks for. ours: nobody
 * else attends to it, and the terminal on our standard input decides its size. */
int console_open(int root, const struct config_process *process, bool ours, int *master, int *slave,
                 struct error *err);

/* Makes the slave the controlling terminal and the standard streams of the calling process, a
 * session leader. */
int console_adopt(int slave, struct error *err);

#endif
