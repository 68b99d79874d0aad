/* The file `lock` of a run directory: who holds it is the container's monitor, or is recovering
 * from the loss of one. An open file description lock: it ends with its holder however that dies,
 * and can be asked for without being taken. */
#ifndef HULL_MONITOR_LOCK_H
#define HULL_MONITOR_LOCK_H

#include "base/error.h"

/* Takes it, waiting up to timeout ms. Returns the descriptor that holds it, or -1, with err->code
 * EAGAIN if somebody else has it still. */
int lock_take(const char *run_directory, int timeout, struct error *err);

#endif
