/* A read-only disk made of files and of bytes in memory, as a layout says; what no extent covers
 * reads as zeros. So any number of image layers are one disk with a partition table. */
#ifndef HULL_VM_DISK_COMPOSITE_H
#define HULL_VM_DISK_COMPOSITE_H

#include "vm/device/disk.h"
#include "vm/image/disk_layout.h"

/* A file that is shorter than its extent is an error. The files are opened now; nothing of the
 * layout is needed afterwards. */
struct disk *disk_open_composite(const struct disk_layout *layout,
                                 const struct disk_settings *settings, struct loop *loop,
                                 struct error *err);

#endif
