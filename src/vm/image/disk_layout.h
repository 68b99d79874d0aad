/* Several files as one disk: a GUID partition table (UEFI 2.10, chapter 5) whose partitions are the
 * files, so that a guest needs one device for any number of layers.
 *
 *     sector 0     protective MBR
 *     sector 1     GPT header
 *     sector 2 …   partition entries
 *     …            partition 1, 2 …: the files, each beginning at a multiple of 4 KiB
 *     …            partition entries once more
 *     last sector  backup GPT header
 *
 * A layout says which bytes of the disk come from where; what no extent covers reads as zeros.
 * Nothing of it is copied. It travels to the monitor as JSON:
 *
 *     {"size": 1122304, "extents": [{"offset": 0, "length": 1280, "bytes": "0000…"},
 *                                   {"offset": 20480, "length": 1048576, "path": "/…/x.erofs"}, …]}
 */
#ifndef HULL_VM_IMAGE_DISK_LAYOUT_H
#define HULL_VM_IMAGE_DISK_LAYOUT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DISK_SECTOR 512
#define DISK_PARTITIONS_MAX 255 /* Linux' (block/genhd.c, DISK_MAX_PARTS) */

struct disk_extent {
    uint64_t offset, length; /* on the disk; in bytes */
    char *path;              /* a file, from its beginning; NULL: bytes */
    unsigned char *bytes;    /* length of them */
};

struct disk_layout {
    uint64_t size;               /* a multiple of 4096 */
    struct disk_extent *extents; /* by offset; they don't overlap */
    size_t count;
};

struct disk_partition {
    const char *path; /* absolute */
    uint64_t size;    /* of the file */
    unsigned char identity[16];
};

/* The same partitions always make the same disk. */
int disk_layout_make(struct disk_layout *layout, const struct disk_partition *partitions,
                     size_t count, struct error *err);
void disk_layout_release(struct disk_layout *layout); /* zeroes it; a zeroed one is borne */
#define scope_disk_layout __attribute__((cleanup(disk_layout_release)))

/* As JSON, which the caller drops; and back, checked: what doesn't fit together is an error. */
json_t *disk_layout_describe(const struct disk_layout *layout);
int disk_layout_parse(struct disk_layout *layout, const json_t *description, struct error *err);

#endif
