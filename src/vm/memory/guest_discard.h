/* Giving guest memory back to the host. */
#ifndef HULL_VM_GUEST_DISCARD_H
#define HULL_VM_GUEST_DISCARD_H

#include "vm/memory/guest_memory.h"

/* Drops the pages at [host, host + size), of which only whole ones of granularity bytes (a power of
 * two) are dropped: the guest finds zeros there. The range may be any; what is no memory of the
 * VM's own (a file's mapping, or none at all) is left alone. Returns how many bytes were dropped.
 */
uint64_t guest_memory_discard(const struct guest_memory *memory, const void *host, uint64_t size,
                              uint64_t granularity);

#endif
