#include "vm/image/disk_composite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"

struct piece {
    uint64_t offset, length;
    int fd;
    unsigned char *bytes;
};

struct disk_composite {
    uint64_t size;
    size_t count;
    struct piece pieces[]; /* by offset */
};

static int open_file(const struct disk_extent *extent, struct error *err)
{
    struct stat status;
    scope_close int fd = open(extent->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open %s", extent->path);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < extent->length)
        return error_set(err, 0, "%s isn't a file of %llu bytes", extent->path,
                         (unsigned long long)extent->length);
    return scope_take_fd(&fd);
}

int disk_composite_open(struct disk_composite **result, const struct disk_layout *layout,
                        struct error *err)
{
    struct disk_composite *composite =
        memory_allocate(1, sizeof *composite + layout->count * sizeof *composite->pieces);
    *result = NULL;
    composite->size = layout->size;
    for (size_t i = 0; i < layout->count; i++) {
        const struct disk_extent *extent = &layout->extents[i];
        struct piece *piece = &composite->pieces[i];
        *piece = (struct piece){.offset = extent->offset, .length = extent->length, .fd = -1};
        if (extent->path && (piece->fd = open_file(extent, err)) < 0) {
            disk_composite_close(composite);
            return -1;
        }
        if (!extent->path) {
            piece->bytes = memory_allocate(extent->length, 1);
            memcpy(piece->bytes, extent->bytes, extent->length);
        }
        composite->count++;
    }
    *result = composite;
    return 0;
}

void disk_composite_close(struct disk_composite *composite)
{
    if (!composite)
        return;
    for (size_t i = 0; i < composite->count; i++) {
        if (composite->pieces[i].fd >= 0)
            close(composite->pieces[i].fd);
        free(composite->pieces[i].bytes);
    }
    free(composite);
}

uint64_t disk_composite_size(const struct disk_composite *composite)
{
    return composite->size;
}

/* How many pieces end at or before the offset: the index of the first that doesn't. */
static size_t skip_pieces(const struct disk_composite *composite, uint64_t offset)
{
    size_t low = 0, high = composite->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct piece *piece = &composite->pieces[middle];
        if (piece->offset + piece->length <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct disk_segment disk_composite_find(const struct disk_composite *composite, uint64_t offset,
                                        size_t length)
{
    struct disk_segment segment = {.fd = -1};
    if (offset >= composite->size)
        return segment;
    size_t index = skip_pieces(composite, offset);
    const struct piece *piece = index < composite->count ? &composite->pieces[index] : NULL;
    uint64_t end = composite->size;
    if (piece && offset < piece->offset) {
        end = piece->offset; /* zeros up to it */
    } else if (piece) {
        end = piece->offset + piece->length;
        segment.fd = piece->fd;
        segment.offset = (off_t)(offset - piece->offset);
        segment.bytes = piece->bytes ? piece->bytes + segment.offset : NULL;
    }
    segment.length = length < end - offset ? length : (size_t)(end - offset);
    return segment;
}

static int read_segment(const struct disk_segment *segment, unsigned char *to, struct error *err)
{
    if (segment->fd < 0 && !segment->bytes) {
        memset(to, 0, segment->length);
        return 0;
    }
    if (segment->fd < 0) {
        memcpy(to, segment->bytes, segment->length);
        return 0;
    }
    for (size_t done = 0; done < segment->length;) {
        ssize_t count =
            pread(segment->fd, to + done, segment->length - done, segment->offset + (off_t)done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set(err, count < 0 ? errno : EIO, "can't read a file of the disk");
        done += (size_t)count;
    }
    return 0;
}

int disk_composite_read(const struct disk_composite *composite, uint64_t offset, void *buffer,
                        size_t length, struct error *err)
{
    unsigned char *to = buffer;
    while (length > 0) {
        struct disk_segment segment = disk_composite_find(composite, offset, length);
        if (segment.length == 0)
            return error_set(err, 0, "byte %llu is beyond the disk's end",
                             (unsigned long long)offset);
        if (read_segment(&segment, to, err) < 0)
            return -1;
        offset += segment.length;
        to += segment.length;
        length -= segment.length;
    }
    return 0;
}
