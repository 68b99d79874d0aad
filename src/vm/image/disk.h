/* The disks of a virtual machine that runs an image: one of the image's layers, shared by all
 * machines and never written to, and one of its own for what it changes.
 *
 * Each layer is an erofs file system, made once from the unpacked layer and kept by the image store
 * (see image_derive()) as long as the layer itself: owners, modes, times, extended attributes,
 * devices, hard links, and what marks removed files for overlayfs are as they are there. All of
 * them are one disk to the guest: see vm/image/disk_layout.h. */
#ifndef HULL_VM_IMAGE_DISK_H
#define HULL_VM_IMAGE_DISK_H

#include "base/error.h"
#include "image/image.h"
#include "vm/image/disk_layout.h"

#define DISK_WRITABLE_DEFAULT                                                                      \
    (10ll << 30) /* bytes that a guest may write; what it does takes room */
#define DISK_WRITABLE_MINIMUM (16ll << 20)
#define DISK_WRITABLE_MAXIMUM (16ll << 40) /* of a file on ext4 */

/* Makes what is missing of the image's layers, and describes the disk: partition 1 is the top layer
 * … the last one the bottom, the order of overlayfs' lowerdir. *user_xattrs: overlayfs must be
 * mounted with userxattr. An image without layers has no partitions. The caller holds a lease of
 * the image as long as the disk is used. */
int disk_make_layers(struct image_store *store, const struct image *image,
                     struct disk_layout *layout, bool *user_xattrs, struct error *err);

/* Makes an empty ext4 file system of size bytes at path, a sparse file; one that is there is
 * replaced. directory is where the file that it is copied from is kept; it is made if it is missing
 * and may be shared by any number of processes. What a killed process leaves is path with ".new"
 * behind it. */
int disk_make_writable(const char *directory, const char *path, int64_t size, struct error *err);

#endif
