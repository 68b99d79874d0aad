#include "vm/memory/guest_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

#define HUGE_PAGE_SIZE (2ull << 20)

static int insert(struct guest_memory *memory, const struct guest_region *region, struct error *err)
{
    unsigned at = memory->count;
    if (region->size == 0 || region->address % GUEST_PAGE_SIZE || region->size % GUEST_PAGE_SIZE ||
        region->address + region->size < region->address)
        return error_set(err, 0, "guest memory at %#llx is not whole pages",
                         (unsigned long long)region->address);
    if (memory->count == GUEST_MEMORY_REGIONS_MAX)
        return error_set(err, 0, "more than %d regions of guest memory", GUEST_MEMORY_REGIONS_MAX);
    while (at > 0 && memory->regions[at - 1].address > region->address)
        at--;
    if ((at > 0 &&
         memory->regions[at - 1].address + memory->regions[at - 1].size > region->address) ||
        (at < memory->count && region->address + region->size > memory->regions[at].address))
        return error_set(err, 0, "guest memory at %#llx overlaps another region",
                         (unsigned long long)region->address);
    memmove(memory->regions + at + 1, memory->regions + at,
            (memory->count - at) * sizeof *memory->regions);
    memory->regions[at] = *region;
    memory->count++;
    return 0;
}

/* Aligned so that the host can put huge pages below the guest's: a reservation with room to spare,
 * of which the rest is given back. */
static uint8_t *map_aligned(uint64_t size, int fd, int flags)
{
    size_t room = size + HUGE_PAGE_SIZE;
    uint8_t *reserved =
        mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return MAP_FAILED;
    uint8_t *start =
        (uint8_t *)(((uintptr_t)reserved + HUGE_PAGE_SIZE - 1) & ~(uintptr_t)(HUGE_PAGE_SIZE - 1));
    if (start > reserved)
        munmap(reserved, (size_t)(start - reserved));
    if (start + size < reserved + room)
        munmap(start + size, (size_t)(reserved + room - (start + size)));
    void *mapped =
        mmap(start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_NORESERVE, fd, 0);
    if (mapped == MAP_FAILED) {
        int saved = errno;
        munmap(start, size);
        errno = saved;
    }
    return mapped;
}

int guest_memory_add(struct guest_memory *memory, uint64_t address, uint64_t size, bool shared,
                     bool huge_pages, struct error *err)
{
    struct guest_region region = {.address = address, .size = size, .fd = -1, .owned = true};
    unsigned long long mebibytes = size >> 20;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (shared) {
        region.fd = memfd_create("guest-memory", MFD_CLOEXEC | (huge_pages ? MFD_HUGETLB : 0));
        if (region.fd < 0)
            return error_set(err, errno, "can't make a memfd for guest memory");
        if (ftruncate(region.fd, (off_t)size) < 0) {
            error_set(err, errno, "can't size %llu MiB of guest memory", mebibytes);
            close(region.fd);
            return -1;
        }
        flags = MAP_SHARED;
    } else if (huge_pages) {
        flags |= MAP_HUGETLB;
    }
    region.host = map_aligned(size, region.fd, flags);
    if (region.host == MAP_FAILED) {
        error_set(err, errno, "can't map %llu MiB of guest memory%s", mebibytes,
                  huge_pages ? " in huge pages (see vm.nr_hugepages)" : "");
        if (region.fd >= 0)
            close(region.fd);
        return -1;
    }
    if (!huge_pages)
        madvise(region.host, size, MADV_HUGEPAGE); /* a wish: not all kernels have it */
    madvise(region.host, size, MADV_DONTDUMP);
    if (insert(memory, &region, err) < 0) {
        munmap(region.host, size);
        if (region.fd >= 0)
            close(region.fd);
        return -1;
    }
    return 0;
}

int guest_memory_add_host(struct guest_memory *memory, const struct guest_region *region,
                          struct error *err)
{
    struct guest_region theirs = *region;
    theirs.owned = false;
    theirs.dirty = NULL;
    return insert(memory, &theirs, err);
}

void guest_memory_release(struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++) {
        struct guest_region *region = &memory->regions[i];
        free(region->dirty);
        if (!region->owned)
            continue;
        munmap(region->host, region->size);
        if (region->fd >= 0)
            close(region->fd);
    }
    memory->count = 0;
}

static const struct guest_region *find(const struct guest_memory *memory, uint64_t address)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *region = &memory->regions[i];
        if (address >= region->address && address - region->address < region->size)
            return region;
    }
    return NULL;
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t size)
{
    const struct guest_region *region = find(memory, address);
    if (!region || size > region->size - (address - region->address))
        return NULL;
    return region->host + (address - region->address);
}

void *guest_memory_at_most(const struct guest_memory *memory, uint64_t address, uint64_t *size,
                           bool to_write)
{
    const struct guest_region *region = find(memory, address);
    if (!region || (to_write && region->read_only))
        return NULL;
    uint64_t offset = address - region->address;
    *size = *size < region->size - offset ? *size : region->size - offset;
    return region->host + offset;
}

/* Copies a range, which may go on from one region to the next. With neither from nor to it only
 * tells whether all of it is memory. */
static bool copy(const struct guest_memory *memory, uint64_t address, uint64_t size, uint8_t *to,
                 const uint8_t *from, bool to_guest)
{
    for (uint64_t done = 0, piece; done < size; done += piece) {
        piece = size - done;
        uint8_t *host = guest_memory_at_most(memory, address + done, &piece, to_guest);
        if (!host)
            return false;
        if (to)
            memcpy(to + done, host, piece);
        else if (from)
            memcpy(host, from + done, piece);
    }
    return true;
}

bool guest_memory_read(const struct guest_memory *memory, uint64_t address, void *bytes,
                       uint64_t size)
{
    return copy(memory, address, size, NULL, NULL, false) &&
           copy(memory, address, size, bytes, NULL, false);
}

bool guest_memory_write(const struct guest_memory *memory, uint64_t address, const void *bytes,
                        uint64_t size)
{
    if (!copy(memory, address, size, NULL, NULL, true) ||
        !copy(memory, address, size, NULL, bytes, true))
        return false;
    guest_memory_note_write(memory, address, size);
    return true;
}

void guest_memory_note_write(const struct guest_memory *memory, uint64_t address, uint64_t size)
{
    if (memory->watcher)
        memory->watcher->written(memory->watcher, address, size);
    while (size > 0) {
        const struct guest_region *region = find(memory, address);
        if (!region)
            return;
        uint64_t offset = address - region->address, piece = region->size - offset;
        piece = piece < size ? piece : size;
        if (region->dirty) {
            for (uint64_t page = offset / GUEST_PAGE_SIZE;
                 page <= (offset + piece - 1) / GUEST_PAGE_SIZE; page++)
                __atomic_fetch_or(&region->dirty[page / 64], 1ull << (page % 64), __ATOMIC_RELAXED);
        }
        address += piece;
        size -= piece;
    }
}

void guest_memory_track_writes(struct guest_memory *memory, bool on)
{
    memory->tracks_writes = on;
    for (unsigned i = 0; i < memory->count; i++) {
        struct guest_region *region = &memory->regions[i];
        free(region->dirty);
        region->dirty =
            on ? memory_allocate(region->size / GUEST_PAGE_SIZE / 64 + 1, sizeof *region->dirty)
               : NULL;
    }
}
