/* The balloon device (virtio 1.2, 5.5): takes memory that the guest doesn't need away from it.
 * Inflating it takes a number of pages; free page hinting and reporting discard what is free in the
 * guest without its noticing. All functions are called under the board's lock. */
#ifndef HULL_VM_VIRTIO_BALLOON_H
#define HULL_VM_VIRTIO_BALLOON_H

#include "vm/device/virtio_device.h"

struct virtio_balloon_options {
    uint32_t pages;               /* the balloon's size at first, in pages of 4096 bytes */
    bool deflate_on_oom;          /* the guest may take pages back when it runs out of memory */
    unsigned statistics_interval; /* seconds; 0: no statistics, now and later */
    bool hinting;                 /* free page hinting, on demand */
    bool reporting;               /* free page reporting, as pages become free */
    bool huge_pages; /* guest memory is in huge pages, of which only whole ones can be discarded */
};

/* What the guest says of its memory (5.5.6.3): value[tag], if bit tag of present is set. Those of
 * memory are in bytes. */
enum virtio_balloon_tag {
    BALLOON_SWAP_IN,
    BALLOON_SWAP_OUT,
    BALLOON_MAJOR_FAULTS,
    BALLOON_MINOR_FAULTS,
    BALLOON_FREE_MEMORY,
    BALLOON_TOTAL_MEMORY,
    BALLOON_AVAILABLE_MEMORY,
    BALLOON_DISK_CACHES,
    BALLOON_HUGETLB_ALLOCATIONS,
    BALLOON_HUGETLB_FAILURES,
    BALLOON_OOM_KILL, /* Linux 6.12 and later */
    BALLOON_ALLOC_STALL,
    BALLOON_ASYNC_SCAN,
    BALLOON_DIRECT_SCAN,
    BALLOON_ASYNC_RECLAIM,
    BALLOON_DIRECT_RECLAIM,
    BALLOON_TAGS,
};

struct virtio_balloon_statistics {
    uint32_t present;
    uint64_t value[BALLOON_TAGS];
};

struct virtio_balloon_hinting {
    uint32_t host_command;    /* what the guest was told: 0 stop, 1 done, else a run's number */
    uint32_t guest_command;   /* what the guest said last */
    bool guest_command_valid; /* it has said anything */
};

struct virtio_device *virtio_balloon_create(const char *id,
                                            const struct virtio_balloon_options *options);

/* How many pages the guest is to give, and how many it says it has given. */
void virtio_balloon_set_pages(struct virtio_device *device, uint32_t pages);
uint32_t virtio_balloon_pages(const struct virtio_device *device);
uint32_t virtio_balloon_actual(const struct virtio_device *device);

/* Statistics: the last ones (nothing is present before the guest's first), and how often the guest
 * is asked, in seconds. Fails on a balloon without statistics, and where they would be switched
 * off.
 */
int virtio_balloon_statistics(const struct virtio_device *device,
                              struct virtio_balloon_statistics *statistics, struct error *err);
int virtio_balloon_set_interval(struct virtio_device *device, unsigned seconds, struct error *err);
unsigned virtio_balloon_interval(const struct virtio_device *device);

/* Free page hinting (5.5.6.4): starts a run, in which the guest hands over all its free pages; it
 * keeps them until it is told that the run is done: at its end with acknowledge_on_stop, or by
 * hinting_stop. Fail on a balloon without hinting, and while the guest has no driver for it. */
int virtio_balloon_hinting_start(struct virtio_device *device, bool acknowledge_on_stop,
                                 struct error *err);
int virtio_balloon_hinting_stop(struct virtio_device *device, struct error *err);
int virtio_balloon_hinting_status(const struct virtio_device *device,
                                  struct virtio_balloon_hinting *status, struct error *err);

/* How many bytes were discarded since the device was made, for metrics. */
uint64_t virtio_balloon_discarded(const struct virtio_device *device);

#endif
