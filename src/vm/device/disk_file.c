#include "vm/device/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define ZEROS_SIZE 65536
#define PARTS_AT_ONCE 1024 /* IOV_MAX */

struct iovec *disk_parts_skip(struct iovec *parts, unsigned *count, uint64_t done)
{
    while (*count > 0 && done >= parts->iov_len) {
        done -= parts->iov_len;
        parts++;
        (*count)--;
    }
    if (*count > 0) {
        parts->iov_base = (uint8_t *)parts->iov_base + done;
        parts->iov_len -= done;
    }
    return parts;
}

void disk_parts_clear(const struct iovec *parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memset(parts[i].iov_base, 0, parts[i].iov_len);
}

uint64_t disk_parts_size(const struct iovec *parts, unsigned count)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

unsigned disk_parts_slice(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size,
                          struct iovec *slice)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count && size > 0; i++) {
        if (offset >= parts[i].iov_len) {
            offset -= parts[i].iov_len;
            continue;
        }
        size_t piece = parts[i].iov_len - offset;
        piece = piece < size ? piece : size;
        slice[used++] = (struct iovec){(uint8_t *)parts[i].iov_base + offset, piece};
        size -= piece;
        offset = 0;
    }
    return used;
}

enum direction { READ, READ_OR_ZEROS, WRITE };

static int transfer(int fd, struct iovec *parts, unsigned count, uint64_t offset,
                    enum direction direction)
{
    parts = disk_parts_skip(parts, &count, 0);
    while (count > 0) {
        int at_once = count < PARTS_AT_ONCE ? (int)count : PARTS_AT_ONCE;
        ssize_t done = direction == WRITE ? pwritev(fd, parts, at_once, (off_t)offset)
                                          : preadv(fd, parts, at_once, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        if (done == 0 && direction == READ_OR_ZEROS) {
            disk_parts_clear(parts, count);
            return 0;
        }
        if (done == 0)
            return EIO;
        offset += (uint64_t)done;
        parts = disk_parts_skip(parts, &count, (uint64_t)done);
    }
    return 0;
}

int disk_file_read_parts(int fd, struct iovec *parts, unsigned count, uint64_t offset)
{
    return transfer(fd, parts, count, offset, READ);
}

int disk_file_read_parts_or_zeros(int fd, struct iovec *parts, unsigned count, uint64_t offset)
{
    return transfer(fd, parts, count, offset, READ_OR_ZEROS);
}

int disk_file_write_parts(int fd, struct iovec *parts, unsigned count, uint64_t offset)
{
    return transfer(fd, parts, count, offset, WRITE);
}

int disk_file_read(int fd, void *bytes, size_t size, uint64_t offset)
{
    return transfer(fd, &(struct iovec){bytes, size}, 1, offset, READ);
}

int disk_file_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
    return transfer(fd, &(struct iovec){(void *)(uintptr_t)bytes, size}, 1, offset, WRITE);
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t size)
{
    while (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) < 0) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

static bool is_unsupported(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == ENOTTY ||
           error == EINVAL;
}

int disk_file_write_zeros(int fd, uint64_t offset, uint64_t size, bool unmap)
{
    static const uint8_t zeros[ZEROS_SIZE];
    static const int modes[2][2] = {{FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE},
                                    {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE}};
    for (unsigned i = 0; i < 2; i++) {
        int error = allocate(fd, modes[unmap][i], offset, size);
        if (error == 0 || !is_unsupported(error))
            return error;
    }
    while (size > 0) {
        size_t piece = size < ZEROS_SIZE ? size : ZEROS_SIZE;
        int error = disk_file_write(fd, zeros, piece, offset);
        if (error)
            return error;
        offset += piece;
        size -= piece;
    }
    return 0;
}

int disk_file_discard(int fd, uint64_t offset, uint64_t size)
{
    int error = allocate(fd, FALLOC_FL_PUNCH_HOLE, offset, size);
    return is_unsupported(error) ? 0 : error; /* only a hint (virtio 1.2, 5.2.6) */
}
