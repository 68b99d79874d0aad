/* Work in a process of its own, perhaps as root of a user namespace. */
#ifndef HULL_ENGINE_APART_H
#define HULL_ENGINE_APART_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct apart {
    pid_t pid;
    int channel;
};

/* What is done there; at least 0, or -1. */
typedef int64_t apart_act(void *context, struct error *err);

/* Begins; user_namespace: -1, or a descriptor: then with its ids and its rights alone. Also if this
 * fails apart_finish() may be called. */
int apart_start(struct apart *apart, int user_namespace, apart_act *act, void *context,
                struct error *err);
/* Waits, and returns what act returned. */
int64_t apart_finish(struct apart *apart, struct error *err);

/* Both. */
int64_t apart_do(int user_namespace, apart_act *act, void *context, struct error *err);

#endif
