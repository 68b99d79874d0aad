/* Writes an initial RAM file system in the form "newc" (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). No times, no owners: the same
 * contents give the same bytes. */
#ifndef HULL_VM_IMAGE_CPIO_H
#define HULL_VM_IMAGE_CPIO_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct cpio {
    FILE *file;
    unsigned int inode;
};

/* Failures show in ferror(file), which the caller looks at when all is written. mode has the type
 * (S_IFREG …); device is a device's number. */
void cpio_add(struct cpio *cpio, const char *path, mode_t mode, dev_t device, const void *contents,
              size_t length);
void cpio_finish(struct cpio *cpio);

#endif
