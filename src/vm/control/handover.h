/* Having a function run on the thread of the event loop, and waiting for it. Devices and settings
 * belong to that thread; the API's thread, and any other, acts on them only through here. */
#ifndef HULL_VM_CONTROL_HANDOVER_H
#define HULL_VM_CONTROL_HANDOVER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"

struct handover_call;

struct handover {
    struct loop *loop;
    struct loop_source wake; /* an eventfd */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct handover_call *first, **last; /* those that wait for the loop */
    bool closed;
};

int handover_open(struct handover *handover, struct loop *loop, struct error *err);

/* Runs function(argument) on the loop's thread; returns when it has. -1 if the handover was closed
 * before it began: then it never runs. Calls run in the order in which they came. Not from the
 * loop's own thread. */
int handover_call(struct handover *handover, void (*function)(void *argument), void *argument);

/* From now on another loop, which the same thread turns, runs the calls. Those that wait stay. */
void handover_move(struct handover *handover, struct loop *loop);

/* On the loop's thread: calls that wait, and those that still come, get their -1. */
void handover_close(struct handover *handover);

/* After handover_close(), when no thread can call any more. */
void handover_release(struct handover *handover);

#endif
