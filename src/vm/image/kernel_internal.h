/* The inside of the kernel store. */
#ifndef HULL_VM_IMAGE_KERNEL_INTERNAL_H
#define HULL_VM_IMAGE_KERNEL_INTERNAL_H

#include "vm/image/kernel.h"

#define KERNEL_NAME_MAX 64
#define KERNEL_DEFAULT "default"

/* ROOT/kernels, made if it is missing. */
int kernel_open_store(const char *root, struct error *err);
/* Gives the lock back when the descriptor is closed. */
int kernel_lock_store(int store, struct error *err);
int kernel_check_name(const char *name, struct error *err);
/* 1 and what is the default in name, or 0. */
int kernel_read_default(int store, char name[KERNEL_NAME_MAX + 1]);
int kernel_write_default(int store, const char *name, struct error *err);

/* A directory that becomes a kernel. */
struct kernel_staging {
    int store, fd; /* of the store, of the directory */
    char name[32];
    char *path; /* absolute */
};
/* Begins one, and removes those of processes that are gone. */
int kernel_staging_begin(const char *root, struct kernel_staging *staging, struct error *err);
/* Unpacks the vmlinuz or vmlinux that is in it (under either name), lists the modules' dependencies
 * where that hasn't been done, and makes it the kernel. */
int kernel_staging_commit(struct kernel_staging *staging, const char *name, const char *source,
                          char **result, struct error *err);
/* Removes what isn't committed. */
void kernel_staging_end(struct kernel_staging *staging);
#define scope_kernel_staging __attribute__((cleanup(kernel_staging_end)))

#endif
