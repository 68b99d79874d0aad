/* A read-only disk made of pieces of files and of bytes in memory; what no extent covers reads as
 * zeros. So any number of image layers are one disk with a partition table. */
#ifndef HULL_VM_DISK_COMPOSITE_H
#define HULL_VM_DISK_COMPOSITE_H

#include <stddef.h>
#include <stdint.h>

#include "vm/device/disk.h"

struct disk_piece {
    uint64_t offset, length; /* on the disk; in bytes */
    const char *path;        /* a file; or NULL: */
    uint64_t file_offset;    /* where the piece begins in the file */
    const void *bytes;       /* length of them, which are copied */
};

/* The pieces come by offset and don't overlap. A file that is shorter than its piece is an error.
 * The files are opened now; nothing of pieces is needed afterwards. size is rounded down to
 * sectors. */
struct disk *disk_open_composite(const struct disk_piece *pieces, size_t count, uint64_t size,
                                 const struct disk_settings *settings, struct loop *loop,
                                 struct error *err);

#endif
