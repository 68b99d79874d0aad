/* Reading and writing of files that waits: whole ranges, whatever the kernel does at once. All
 * return 0 or an errno value. */
#ifndef HULL_VM_DISK_FILE_H
#define HULL_VM_DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* EIO where the file ends before. */
int disk_file_read(int fd, void *bytes, size_t size, uint64_t offset);
int disk_file_write(int fd, const void *bytes, size_t size, uint64_t offset);
/* The parts are used up: they are changed. */
int disk_file_read_parts(int fd, struct iovec *parts, unsigned count, uint64_t offset);
int disk_file_write_parts(int fd, struct iovec *parts, unsigned count, uint64_t offset);
/* As the one above, but zeros where the file ends before. */
int disk_file_read_parts_or_zeros(int fd, struct iovec *parts, unsigned count, uint64_t offset);
/* Makes a range read as zeros; unmap: and gives its room back, if the file system can. */
int disk_file_write_zeros(int fd, uint64_t offset, uint64_t size, bool unmap);
/* Gives a range's room back if that can be; what it reads as later is open. */
int disk_file_discard(int fd, uint64_t offset, uint64_t size);

/* Takes the first done bytes away from the parts; what is left begins at the part returned, of
 * which there are then *count. */
struct iovec *disk_parts_skip(struct iovec *parts, unsigned *count, uint64_t done);
/* Writes zeros into the parts. */
void disk_parts_clear(const struct iovec *parts, unsigned count);
/* The parts of size bytes from offset on as copies in slice, which has room for count of them;
 * returns their number. */
unsigned disk_parts_slice(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size,
                          struct iovec *slice);
uint64_t disk_parts_size(const struct iovec *parts, unsigned count);

#endif
