#include "vm/memory/guest_discard.h"

#include <sys/mman.h>

/* Rounded inwards from the start of the region, which lies on a boundary of huge pages if it is
 * made of them. */
static uint64_t discard_in(const struct guest_region *region, uint64_t start, uint64_t end,
                           uint64_t granularity)
{
    start = (start + granularity - 1) & ~(granularity - 1);
    end &= ~(granularity - 1);
    if (start >= end)
        return 0;
    /* Other processes' mappings of shared memory see it, too: a hole in the memfd. */
    if (madvise(region->host + start, end - start, region->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) <
        0)
        return 0;
    return end - start;
}

uint64_t guest_memory_discard(const struct guest_memory *memory, const void *host, uint64_t size,
                              uint64_t granularity)
{
    uint64_t done = 0;
    uintptr_t first = (uintptr_t)host, last = first + size;
    if (last < first)
        return 0;
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *region = &memory->regions[i];
        uintptr_t start = (uintptr_t)region->host, end = start + region->size;
        if (!region->owned || region->read_only || last <= start || first >= end)
            continue;
        start = first > start ? first : start;
        end = last < end ? last : end;
        done += discard_in(region, start - (uintptr_t)region->host, end - (uintptr_t)region->host,
                           granularity);
    }
    return done;
}
