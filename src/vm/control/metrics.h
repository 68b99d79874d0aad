/* Counters of the monitor and its devices, written as one line of JSON for each flush, with the
 * names that Firecracker gives them.
 *
 * A device counts with metrics_add() on its own counters, from any thread, without a lock. All the
 * groups of metrics_groups.h are there whether the VM has such a device or not; of block devices
 * and interfaces each has its own ("block_ID"), and "block" and "net" are their sums.
 *
 * A counter is printed as what was added since the last flush that was written; a measure ("_us",
 * and the minima and maxima of latencies) as it stands. */
#ifndef HULL_VM_CONTROL_METRICS_H
#define HULL_VM_CONTROL_METRICS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct metric_counter {
    _Atomic uint64_t value;
    uint64_t flushed; /* the value at the last flush; the flushing thread's */
};

struct metric_measure {
    _Atomic uint64_t value;
};

struct metric_latency {
    _Atomic uint64_t minimum_us; /* plus one; 0: nothing measured yet */
    _Atomic uint64_t maximum_us;
    struct metric_counter sum_us;
};

static inline void metrics_add(struct metric_counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

static inline void metrics_set(struct metric_measure *measure, uint64_t value)
{
    atomic_store_explicit(&measure->value, value, memory_order_relaxed);
}

/* For what a device counts itself: the counter stands at value, of all that ever was. */
static inline void metrics_assign(struct metric_counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}
void metrics_assign_latency(struct metric_latency *latency, uint64_t minimum_us,
                            uint64_t maximum_us, uint64_t sum_us);

/* A request took so many microseconds. */
void metrics_measure(struct metric_latency *latency, uint64_t microseconds);

/* Defines struct metrics_block, struct metrics_net, … */
#include "vm/control/metrics_groups.h"

struct metrics;
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);

/* The groups there is one of. */
struct metrics_single *metrics_of(struct metrics *metrics);

/* The counters of a device, which live until they are removed or the registry is destroyed. A
 * device removed takes what wasn't flushed of it along. Called on the loop's thread. */
struct metrics_block *metrics_add_block(struct metrics *metrics, const char *drive_id);
struct metrics_net *metrics_add_net(struct metrics *metrics, const char *interface_id);
void metrics_remove_block(struct metrics *metrics, struct metrics_block *block);
void metrics_remove_net(struct metrics *metrics, struct metrics_net *net);

/* Sets how long the start of the process took until now: what --start-time-us, --start-time-cpu-us
 * and --parent-cpu-time-us said, in microseconds of the monotonic and the processor's clock. 0: it
 * wasn't said, and isn't set. */
void metrics_note_startup(struct metrics *metrics, uint64_t start_us, uint64_t start_cpu_us,
                          uint64_t parent_cpu_us);

/* Before each flush collect(context) is called, to assign what is counted elsewhere. NULL: nothing
 * is called. */
void metrics_set_collector(struct metrics *metrics, void (*collect)(void *context), void *context);

/* Where flushes go: a file, made if there is none and appended to, or a named pipe, which has to
 * have been made and is opened whether anybody reads it or not. Once only. */
int metrics_open(struct metrics *metrics, const char *path, struct error *err);
bool metrics_is_open(const struct metrics *metrics);

/* Writes one line. Without metrics_open() it does nothing. What a pipe has no room for is kept for
 * the next flush and counted (logger.missed_metrics_count). */
int metrics_flush(struct metrics *metrics, struct error *err);

/* The document of a flush, without its being one: nothing is taken as flushed. */
json_t *metrics_print(const struct metrics *metrics);

#endif
