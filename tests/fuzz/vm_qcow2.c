/* vm/device/qcow2*: any bytes as an image, read and written as a script says. It ends, with bounded
 * memory, and what the header says (sizes, places, the backing file's name) is never changed by
 * what a guest writes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/device/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SCRIPT_SIZE 48
#define STEP_SIZE 6
#define BUFFER_SIZE 16384
#define HEADER_SIZE 104

static void step(struct qcow2 *image, const uint8_t *bytes, uint8_t *buffer)
{
    uint64_t size = qcow2_size(image), offset = 0, length = (bytes[4] | bytes[5] << 8) * 4u;
    if (size == 0)
        return;
    memcpy(&offset, bytes + 1, 3);
    offset = bytes[0] & 0x80 ? size - 1 - offset * 16 % size : offset % size;
    length = length < BUFFER_SIZE ? length : BUFFER_SIZE;
    length = length < size - offset ? length : size - offset;
    struct iovec parts[2] = {{buffer, length / 3}, {buffer + length / 3, length - length / 3}};
    switch (bytes[0] & 7) {
    case 0:
    case 1:
        qcow2_read(image, parts, 2, offset, length);
        break;
    case 2:
    case 3:
        memset(buffer, 0xff, length);
        qcow2_write(image, parts, 2, offset, length);
        break;
    case 4:
        qcow2_write_zeros(image, offset, length, bytes[0] & 0x40);
        break;
    case 5:
        qcow2_discard(image, offset, length);
        break;
    default:
        qcow2_flush(image);
    }
}

/* Aborts if anything changed but the refcount table's place and the autoclear features. */
static void check_header(int fd, const uint8_t *before)
{
    uint8_t after[HEADER_SIZE] = {0};
    if (pread(fd, after, sizeof after, 0) < 0)
        abort();
    if (memcmp(after, before, 48) != 0 || memcmp(after + 60, before + 60, 28) != 0 ||
        memcmp(after + 96, before + 96, 8) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buffer[BUFFER_SIZE];
    uint8_t before[HEADER_SIZE] = {0};
    struct qcow2 *image;
    if (size < SCRIPT_SIZE + 72)
        return 0;
    const uint8_t *script = data;
    data += SCRIPT_SIZE, size -= SCRIPT_SIZE;
    memcpy(before, data, size < HEADER_SIZE ? size : HEADER_SIZE);
    int fd = memfd_create("fuzz", MFD_CLOEXEC), kept = dup(fd);
    if (fd < 0 || kept < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    const struct disk_settings settings = {.read_only = script[0] & 1};
    if (qcow2_open(&image, fd, "/tmp/fuzz", &settings, NULL) == 0) {
        for (unsigned i = 1; i + STEP_SIZE <= SCRIPT_SIZE; i += STEP_SIZE) {
            if (!settings.read_only || (script[i] & 7) < 2)
                step(image, script + i, buffer);
        }
        qcow2_close(image);
        check_header(kept, before);
    }
    close(kept);
    return 0;
}
