/* Resources released by scope: declare with one of these, and every return path gives it back.
 *
 *     scope_free char *path = NULL;
 *     scope_close int fd = -1;
 *
 * To hand the resource to the caller, use scope_take_fd() or scope_take_pointer(). */
#ifndef HULL_BASE_SCOPE_H
#define HULL_BASE_SCOPE_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scope_free_pointer(void *slot)
{
    free(*(void **)slot);
}

/* Keeps errno, so that a failing caller can still report it. */
static inline void scope_close_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void scope_close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void scope_close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

#define scope_free __attribute__((cleanup(scope_free_pointer)))
#define scope_close __attribute__((cleanup(scope_close_fd)))
#define scope_fclose __attribute__((cleanup(scope_close_file)))
#define scope_closedir __attribute__((cleanup(scope_close_directory)))

/* The descriptor in *fd, which the scope no longer owns. */
static inline int scope_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void *scope_take_pointer_from(void *slot)
{
    void *taken = *(void **)slot;
    *(void **)slot = NULL;
    return taken;
}

/* The pointer in variable P, which the scope no longer owns. */
#define scope_take_pointer(p) ((__typeof__(p))scope_take_pointer_from(&(p)))

#endif
