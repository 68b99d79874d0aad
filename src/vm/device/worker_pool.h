/* Threads that do what would block the loop: file I/O, waiting for a disk. A job runs on one of
 * them, and its end is told on the loop's thread. Threads are started when there is work for them,
 * up to a number, and wait for more until the pool is closed. They block all signals, and touch
 * nothing that the loop's lock protects. */
#ifndef HULL_VM_WORKER_POOL_H
#define HULL_VM_WORKER_POOL_H

#include <stdbool.h>

#include "base/loop.h"

struct worker_job {
    void (*run)(struct worker_job *job);  /* on a thread */
    void (*done)(struct worker_job *job); /* on the loop's; may free the job */
    struct worker_job *next;
};

struct worker_pool;

/* batch_done(context), which may be NULL, is called after one or more done() functions. */
struct worker_pool *worker_pool_open(struct loop *loop, unsigned threads_max,
                                     void (*batch_done)(void *context), void *context,
                                     struct error *err);
/* Starts a thread, so that no job ever runs on the caller's. */
int worker_pool_reserve(struct worker_pool *pool, struct error *err);
/* Waits for all jobs first. NULL is borne. */
void worker_pool_close(struct worker_pool *pool);

/* Jobs are begun in the order in which they are submitted. If no thread can be started the job runs
 * at once, and done() is called later all the same. */
void worker_pool_submit(struct worker_pool *pool, struct worker_job *job);
/* Returns when all jobs have run and their done() functions returned. */
void worker_pool_drain(struct worker_pool *pool);

#endif
