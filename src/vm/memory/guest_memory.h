/* The guest's physical memory: regions of host memory, and checked ways into them. Every address
 * that comes from a guest goes through here. */
#ifndef HULL_VM_GUEST_MEMORY_H
#define HULL_VM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define GUEST_PAGE_SIZE 4096
#define GUEST_MEMORY_REGIONS_MAX 16

struct guest_region {
    uint64_t address, size; /* in the guest's physical address space, in bytes; whole pages */
    uint8_t *host;
    int fd;          /* a memfd or file that backs it, shared; or -1 */
    uint64_t offset; /* of the region in fd */
    bool read_only;  /* the guest may not write */
    bool owned;      /* unmapped by guest_memory_release() */
    uint64_t *dirty; /* a bit for each page that the monitor wrote; NULL while nobody asks */
};

/* Who must know what the monitor writes, as soon as it is written and before the guest is told. */
struct guest_memory_watcher {
    void (*written)(struct guest_memory_watcher *watcher, uint64_t address, uint64_t size);
};

struct guest_memory {
    struct guest_region regions[GUEST_MEMORY_REGIONS_MAX];
    unsigned count;
    bool tracks_writes;
    struct guest_memory_watcher *watcher; /* or NULL */
};

/* Adds size bytes of zeroed memory at address. shared: as a memfd, which other processes can map;
 * else anonymous memory, for which the host uses huge pages. huge_pages: explicit ones of 2 MiB
 * (hugetlbfs), or an error if the host has too few. */
int guest_memory_add(struct guest_memory *memory, uint64_t address, uint64_t size, bool shared,
                     bool huge_pages, struct error *err);
/* Adds memory that is somebody else's and outlives this (a mapped file of a pmem device). */
int guest_memory_add_host(struct guest_memory *memory, const struct guest_region *region,
                          struct error *err);
void guest_memory_release(struct guest_memory *memory);

/* The host's address of size bytes at a guest's physical address, or NULL unless all of them lie
 * in one region. size may be 0. */
void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t size);

/* The same for as many of *size bytes as lie in the region of address; *size becomes their number.
 * NULL if address is no memory, or to_write and the guest may not write there. */
void *guest_memory_at_most(const struct guest_memory *memory, uint64_t address, uint64_t *size,
                           bool to_write);

/* Copies to or from the guest; false, and nothing is copied, if not all of it is memory. A copy may
 * cross from a region to the one that follows it. */
bool guest_memory_read(const struct guest_memory *memory, uint64_t address, void *bytes,
                       uint64_t size);
bool guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *bytes,
                        uint64_t size);

/* Whoever writes guest memory through a pointer from guest_memory_at() says so, for migration and
 * for translations of code that lies there; unless nobody wants to know. */
void guest_memory_note_write(const struct guest_memory *memory, uint64_t address, uint64_t size);
static inline bool guest_memory_is_watched(const struct guest_memory *memory)
{
    return memory->tracks_writes || memory->watcher;
}

/* Starts or stops noting what the monitor writes. */
void guest_memory_track_writes(struct guest_memory *memory, bool on);

#endif
