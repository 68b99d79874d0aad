/* Images of QEMU's format, version 2 and 3 (docs/interop/qcow2.txt of QEMU), read and written by
 * threads that wait: any number of them at once. src/vm/device/disk_qcow2.c makes a disk of it.
 *
 * What guests see is cut into clusters. The L1 table says where L2 tables are, and these where
 * clusters are; the refcount table says where refcount blocks are, and these how often each cluster
 * of the file is used. An image is hostile until checked: no offset, size or count of it is
 * believed.
 *
 * A crash at any instant loses nothing that was flushed, and leaks clusters at worst: see
 * qcow2_flush.c for the order of writing. */
#ifndef HULL_VM_QCOW2_H
#define HULL_VM_QCOW2_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "vm/device/disk.h"

#define QCOW2_BACKING_DEPTH_MAX 32

struct qcow2;

/* Takes fd. path is the image's, for messages and, with its directory, for its backing file's. */
int qcow2_open(struct qcow2 **image, int fd, const char *path, const struct disk_settings *settings,
               struct error *err);
/* Flushes first; whether that failed is returned, as an errno value. NULL is borne. */
int qcow2_close(struct qcow2 *image);
uint64_t qcow2_size(const struct qcow2 *image); /* in bytes */
uint32_t qcow2_cluster_size(const struct qcow2 *image);

/* All return an errno value, or 0. offset and size lie in the image; the parts are size bytes. */
int qcow2_read(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t offset,
               uint64_t size);
int qcow2_write(struct qcow2 *image, const struct iovec *parts, unsigned count, uint64_t offset,
                uint64_t size);
/* Makes a range read as zeros; unmap: and gives its clusters back. */
int qcow2_write_zeros(struct qcow2 *image, uint64_t offset, uint64_t size, bool unmap);
int qcow2_discard(struct qcow2 *image, uint64_t offset, uint64_t size);
int qcow2_flush(struct qcow2 *image);

/* For who reads and writes by other means, and doesn't wait: true if a range lies in the file as it
 * is, behind each other at *place of *fd, and that is known without reading tables. It stays there
 * until qcow2_end_direct(), which a flush may wait for. Any thread. */
bool qcow2_begin_direct(struct qcow2 *image, uint64_t offset, uint64_t size, bool to_write, int *fd,
                        uint64_t *place);
void qcow2_end_direct(struct qcow2 *image);

#endif
