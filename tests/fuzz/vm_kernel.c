/* vm/image/kernel_image: whatever is said to be a kernel is refused, or unpacks to an ELF file of
 * the length that it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/image/kernel_image.h"

#define UNPACKED_MAX (1u << 20) /* more only takes time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int fd, size_t size)
{
    struct kernel_image image;
    struct stat status;
    if (kernel_image_read(fd, "kernel", &image, NULL) < 0)
        return;
    if (image.payload > size || image.payload_length > size - image.payload ||
        image.unpacked_length > KERNEL_UNPACKED_MAX ||
        strnlen(image.version, sizeof image.version) == sizeof image.version)
        abort();
    if (image.unpacked_length > UNPACKED_MAX)
        return;
    int out = memfd_create("vmlinux", MFD_CLOEXEC);
    int unpacked = kernel_image_unpack(fd, "kernel", &image, out, NULL);
    if (fstat(out, &status) < 0 || (uint64_t)status.st_size > image.unpacked_length ||
        (unpacked == 0 && (uint64_t)status.st_size != image.unpacked_length))
        abort();
    close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, data, size) == (ssize_t)size)
        check(fd, size);
    if (fd >= 0)
        close(fd);
    return 0;
}
