/* Windows into the parts of a request: packets lie in guest memory in pieces, headers before them.
 */
#ifndef HULL_VM_PARTS_H
#define HULL_VM_PARTS_H

#include <stdint.h>
#include <sys/uio.h>

/* Makes slice, which has room for count parts, the at most size bytes of parts from offset on;
 * returns how many parts it has. */
static inline unsigned parts_slice(const struct iovec *parts, unsigned count, uint64_t offset,
                                   uint64_t size, struct iovec *slice)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count && size > 0; i++) {
        uint64_t piece = parts[i].iov_len;
        if (offset >= piece) {
            offset -= piece;
            continue;
        }
        piece -= offset;
        piece = piece < size ? piece : size;
        slice[used++] = (struct iovec){(uint8_t *)parts[i].iov_base + offset, piece};
        size -= piece;
        offset = 0;
    }
    return used;
}

#endif
