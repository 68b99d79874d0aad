/* A disk of several files, open for reading: the back end of the block device that serves a
 * disk_layout. */
#ifndef HULL_VM_IMAGE_DISK_COMPOSITE_H
#define HULL_VM_IMAGE_DISK_COMPOSITE_H

#include <sys/types.h>

#include "vm/image/disk_layout.h"

struct disk_composite;

/* Opens the files, which needs nothing of the layout afterwards: done before the monitor gives up
 * what it may. A file that is shorter than its extent is an error. */
int disk_composite_open(struct disk_composite **composite, const struct disk_layout *layout,
                        struct error *err);
void disk_composite_close(struct disk_composite *composite); /* NULL is borne */
uint64_t disk_composite_size(const struct disk_composite *composite);

/* Where a piece of the disk is. */
struct disk_segment {
    int fd; /* stays the composite's; -1: memory */
    off_t offset;
    const unsigned char *bytes; /* in memory; NULL: zeros */
    size_t length;              /* at most what was asked for; 0 only at the disk's end */
};
/* The first piece of length bytes at offset: for who reads asynchronously. Bytes beyond the disk's
 * end aren't part of it. Any offset may be asked for. */
struct disk_segment disk_composite_find(const struct disk_composite *composite, uint64_t offset,
                                        size_t length);

/* Reads exactly length bytes; those must be on the disk. */
int disk_composite_read(const struct disk_composite *composite, uint64_t offset, void *buffer,
                        size_t length, struct error *err);

#endif
