/* Files that hold a Linux kernel for x86-64: a bzImage (Documentation/arch/x86/boot.rst), whose
 * payload is a compressed ELF file, or that ELF file itself. A guest that is entered at the ELF
 * file's entry doesn't have to decompress. */
#ifndef HULL_VM_IMAGE_KERNEL_IMAGE_H
#define HULL_VM_IMAGE_KERNEL_IMAGE_H

#include <stdint.h>

#include "base/error.h"

#define KERNEL_FILE_MAX (256u << 20)     /* bytes */
#define KERNEL_UNPACKED_MAX (512u << 20) /* the kernel's own bound (KERNEL_IMAGE_SIZE) is 1 GiB */
#define KERNEL_VERSION_SIZE 65           /* as struct utsname's release, with the NUL */

enum kernel_format {
    KERNEL_ELF,
    KERNEL_BZIMAGE_ELF, /* the payload isn't compressed */
    KERNEL_BZIMAGE_GZIP,
    KERNEL_BZIMAGE_LZ4,
    KERNEL_BZIMAGE_XZ,
    KERNEL_BZIMAGE_ZSTD,
};

struct kernel_image {
    enum kernel_format format;
    char version[KERNEL_VERSION_SIZE]; /* "6.1.0-56-cloud-amd64" */
    uint64_t payload, payload_length;  /* bytes of the file; an ELF file is all payload */
    uint64_t unpacked_length;
};

/* Reads what the file says of itself, and checks that it is a kernel for x86-64, within the bounds
 * above. name is for the error. */
int kernel_image_read(int fd, const char *name, struct kernel_image *image, struct error *err);

/* Writes the ELF file that is in a bzImage to an empty file, and checks it. */
int kernel_image_unpack(int fd, const char *name, const struct kernel_image *image, int out,
                        struct error *err);

#endif
