/* The mount interface by descriptors (fsopen(2) and its like), which musl doesn't declare. */
#ifndef HULL_STATIC_SYS_MOUNT_H
#define HULL_STATIC_SYS_MOUNT_H

#include_next <sys/mount.h>

#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int fsopen(const char *type, unsigned int flags)
{
    return (int)syscall(SYS_fsopen, type, flags);
}

static inline int fsconfig(int context, unsigned int command, const char *key, const void *value,
                           int extra)
{
    return (int)syscall(SYS_fsconfig, context, command, key, value, extra);
}

static inline int fsmount(int context, unsigned int flags, unsigned int attributes)
{
    return (int)syscall(SYS_fsmount, context, flags, attributes);
}

static inline int fspick(int directory, const char *path, unsigned int flags)
{
    return (int)syscall(SYS_fspick, directory, path, flags);
}

static inline int open_tree(int directory, const char *path, unsigned int flags)
{
    return (int)syscall(SYS_open_tree, directory, path, flags);
}

static inline int move_mount(int from_directory, const char *from, int to_directory, const char *to,
                             unsigned int flags)
{
    return (int)syscall(SYS_move_mount, from_directory, from, to_directory, to, flags);
}

static inline int mount_setattr(int directory, const char *path, unsigned int flags,
                                struct mount_attr *attributes, size_t size)
{
    return (int)syscall(SYS_mount_setattr, directory, path, flags, attributes, size);
}

#endif
