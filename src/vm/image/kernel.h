/* Kernels for virtual machines, below ROOT:
 *
 *     kernels/NAME/kernel.json    version, where it came from, when, its size
 *     kernels/NAME/vmlinuz        the bzImage; not there where only an ELF file was given
 *     kernels/NAME/vmlinux        the ELF file, unpacked once
 *     kernels/NAME/config         its configuration, where that came with it
 *     kernels/NAME/lib/modules/VERSION/   its modules, where it has any
 *     kernels/default             a link to NAME
 *     kernels/.new-…/             one that is being made, locked by its maker
 *
 * Each is whole or absent: made beside, written to the disk, renamed. One that runs was read when
 * its machine started, and isn't needed any more. */
#ifndef HULL_VM_IMAGE_KERNEL_H
#define HULL_VM_IMAGE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/warning.h"
#include "vm/image/kernel_image.h"

#define KERNEL_HOST "host" /* the kernel in the host's /boot, under this name */

struct kernel {
    char *name; /* or the path that was asked for */
    char version[KERNEL_VERSION_SIZE];
    char *vmlinuz, *vmlinux; /* absolute; one of them may be NULL */
    char *modules, *config;  /* absolute; NULL: there are none */
    char *source;            /* for people */
    int64_t size, created;   /* bytes; seconds since 1970. 0 of one that isn't in the store */
    bool is_default;
};
void kernel_release(struct kernel *kernel); /* zeroes it; a zeroed one is borne */
#define scope_kernel __attribute__((cleanup(kernel_release)))

/* The kernel to start a machine with. name: of one in the store; "host"; or any path with a slash.
 * NULL: the default, or where none is chosen the host's. */
int kernel_find(const char *root, const char *name, struct kernel *kernel, struct error *err);

struct kernel_list {
    struct kernel *kernels; /* by name; the host's, if it can be used, last */
    size_t count;
};
int kernel_list(const char *root, struct kernel_list *list, struct error *err);
void kernel_list_release(struct kernel_list *list);
#define scope_kernel_list __attribute__((cleanup(kernel_list_release)))

/* Makes it the default; "host" for the host's. */
int kernel_use(const char *root, const char *name, struct error *err);
/* A default one that is removed leaves no default. */
int kernel_remove(const char *root, const char *name, struct error *err);

struct kernel_addition {
    const char *name;    /* NULL: its version */
    const char *file;    /* a bzImage or an ELF file */
    const char *modules; /* the directory of modules of its version, or NULL */
    const char *config;  /* or NULL */
};
/* Takes copies. One of the same name is replaced. The first one becomes the default. *name, which
 * the caller frees, is what it is called. */
int kernel_add(const char *root, const struct kernel_addition *addition, char **name,
               struct error *err);

/* Downloads a kernel package of the distribution with apt-get and takes the kernel from it;
 * installs nothing. package NULL: the distribution's kernel for clouds. name as above. */
int kernel_pull(const char *root, const char *package, const char *name,
                const struct warnings *notes, char **pulled, struct error *err);

#endif
