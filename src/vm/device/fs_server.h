/* The server's process, and what the monitor and it say to each other: packets of a socket, with
 * descriptors beside them. */
#ifndef HULL_VM_FS_SERVER_H
#define HULL_VM_FS_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "vm/device/virtio_fs.h"

#define FS_QUEUES 2 /* hiprio, and one of requests */

enum fs_order_type { FS_ORDER_START = 1, FS_ORDER_STOP };

/* The monitor's. START comes with the descriptors of all regions, of the queues' notifications and
 * of their interrupts, in this order. */
struct fs_order {
    uint32_t type;
    uint32_t region_count;
    uint32_t event_index;
    struct {
        uint64_t address, size, offset;
        uint32_t read_only;
    } regions[GUEST_MEMORY_REGIONS_MAX];
    struct {
        uint64_t table, available, used;
        uint32_t size, ready;
    } queues[FS_QUEUES];
};

enum fs_report_type {
    FS_REPORT_READY = 1, /* confined; waits for START */
    FS_REPORT_STARTED,
    FS_REPORT_STOPPED, /* guest memory is not touched any more */
    FS_REPORT_BROKEN,  /* the guest's driver broke the rules; text says how */
    FS_REPORT_FAILED,  /* what was ordered, or becoming ready; text says why */
};

/* The server's. */
struct fs_report {
    uint32_t type;
    char text[ERROR_TEXT_SIZE];
};

#define FS_DESCRIPTORS_MAX (GUEST_MEMORY_REGIONS_MAX + 2 * FS_QUEUES)

/* Starts a server and waits until it is ready. Fills our end of the socket and the process's
 * descriptor (a pidfd). It ends when that end of the socket is closed. */
int fs_server_start(const struct virtio_fs_options *options, int *control, int *process,
                    struct error *err);
/* Sends an order; waits for a report of one of two types, others being skipped: 0, or -1 with the
 * error: what the server says, or that it is gone or doesn't answer. */
int fs_server_order(int control, const struct fs_order *order, const int *descriptors,
                    unsigned count, enum fs_report_type wanted, struct error *err);
/* Takes a report without waiting: 1, 0 if there is none, -1 if the server is gone. */
int fs_server_hear(int control, struct fs_report *report);
/* Ends the server, and waits for that a little while. Closes both descriptors. */
void fs_server_end(int control, int process);

#endif
