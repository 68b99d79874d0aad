/* A 16550A serial port (PC16550D data sheet): what the guest sends goes to a descriptor, what comes
 * from one is received. */
#ifndef HULL_VM_SERIAL_H
#define HULL_VM_SERIAL_H

#include "base/loop.h"
#include "vm/board/bus.h"
#include "vm/board/interrupts.h"
#include "vm/device/rate_limiter.h"

struct serial;

/* output and input may be -1: sent bytes go nowhere, none come. They stay the caller's. */
struct serial *serial_create(struct loop *loop, struct interrupts *interrupts, unsigned line,
                             int output, int input);
/* Bytes above the limit, of which there are as many as tokens, are dropped. */
void serial_limit(struct serial *serial, const struct rate_bucket_settings *limit);
struct serial_counters {
    uint64_t written, read; /* bytes */
    uint64_t dropped;       /* bytes above the limit */
};
const struct serial_counters *serial_counters(const struct serial *serial);
void serial_destroy(struct serial *serial);
extern const struct bus_operations serial_bus_operations; /* eight ports */

#endif
