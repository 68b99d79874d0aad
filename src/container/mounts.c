#include "container/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/scope.h"

static int set_attributes(int fd, unsigned int flags, struct mount_attr *attributes)
{
    return mount_setattr(fd, "", flags | AT_EMPTY_PATH, attributes, sizeof *attributes);
}

/* Why fsconfig or fsmount failed: the file system says so in the context's message log. */
static int mount_error(int context, const char *type, struct error *err)
{
    int code = errno;
    char message[256];
    ssize_t length = read(context, message, sizeof message - 1);
    if (length <= 2)
        return error_set(err, code, "can't mount a file system of type %s", type);
    message[length] = '\0';
    message[strcspn(message, "\n")] = '\0';
    return error_set(err, code, "can't mount a file system of type %s (%s)", type, message + 2);
}

static int configure_option(int context, const char *option)
{
    char key[64];
    const char *equals = strchr(option, '=');
    if (!equals)
        return fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0);
    if ((size_t)(equals - option) >= sizeof key) {
        errno = EINVAL;
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - option), option);
    return fsconfig(context, FSCONFIG_SET_STRING, key, equals + 1, 0);
}

/* Nothing on a disk stands behind these: "ro" is about the mount, and the superblock may be
 * shared with others. */
static bool is_kernel_file_system(const char *type)
{
    static const char *const types[] = {"proc",   "sysfs",   "tmpfs",  "devpts",
                                        "mqueue", "cgroup2", "cgroup", "overlay"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i]) == 0)
            return true;
    }
    return false;
}

static int configure(int context, const char *type, const char *source,
                     const struct mount_options *options, const char *label)
{
    if (source && *source && fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return -1;
    if (label && fsconfig(context, FSCONFIG_SET_STRING, "context", label, 0) < 0)
        return -1;
    if (options) {
        if (options->attributes.attr_set & MOUNT_ATTR_RDONLY && !is_kernel_file_system(type) &&
            fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
            return -1;
        for (size_t i = 0; i < options->super_flag_count; i++) {
            if (fsconfig(context, FSCONFIG_SET_FLAG, options->super_flags[i], NULL, 0) < 0)
                return -1;
        }
        for (size_t i = 0; i < options->data_count; i++) {
            if (configure_option(context, options->data[i]) < 0)
                return -1;
        }
    }
    return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int mount_new(const char *type, const char *source, const struct mount_options *options,
              const char *label, struct error *err)
{
    scope_close int context = fsopen(type, FSOPEN_CLOEXEC);
    if (context < 0)
        return error_set(err, errno, "can't mount a file system of type %s", type);
    if (configure(context, type, source, options, label) < 0)
        return mount_error(context, type, err);
    /* Read-only comes last, when its contents (tmpcopyup) are there. */
    uint64_t attributes = options ? options->attributes.attr_set : 0;
    int fd = fsmount(context, FSMOUNT_CLOEXEC,
                     (unsigned int)(attributes & ~(uint64_t)MOUNT_ATTR_RDONLY));
    if (fd < 0)
        return mount_error(context, type, err);
    return fd;
}

int mount_clone(int directory, const char *path, bool recursive, unsigned int flags,
                struct error *err)
{
    int fd = open_tree(directory, path,
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags |
                           (recursive ? (unsigned int)AT_RECURSIVE : 0));
    if (fd < 0)
        return error_set(err, errno, "can't bind %s", *path ? path : "an open file");
    return fd;
}

int mount_clone_source(const struct config_mount *mount, const struct mount_options *options,
                       struct error *err)
{
    int fd = mount_clone(AT_FDCWD, mount->source, options->recursive, 0, err);
    return fd < 0 ? error_wrap(err, "mount %s", mount->destination) : fd;
}

static bool is_empty(const struct mount_attr *attributes)
{
    return attributes->attr_set == 0 && attributes->attr_clr == 0;
}

int mount_set_attributes(int fd, const struct mount_options *options, const char *name,
                         struct error *err)
{
    struct mount_attr one = options->attributes, all = options->all;
    if (!is_empty(&one) && set_attributes(fd, 0, &one) < 0)
        return error_set(err, errno, "can't set the mount options of %s", name);
    if (!is_empty(&all) && set_attributes(fd, AT_RECURSIVE, &all) < 0)
        return error_set(err, errno, "can't set the recursive mount options of %s", name);
    return 0;
}

int mount_set_propagation(int fd, uint64_t propagation, bool recursive, struct error *err)
{
    struct mount_attr attributes = {.propagation = propagation};
    if (set_attributes(fd, recursive ? AT_RECURSIVE : 0, &attributes) < 0)
        return error_set(err, errno, "can't set the mount propagation");
    return 0;
}

int mount_set_readonly(int fd, bool recursive, struct error *err)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    if (set_attributes(fd, recursive ? AT_RECURSIVE : 0, &attributes) < 0)
        return error_set(err, errno, "can't make a mount read-only");
    return 0;
}

int mount_set_idmap(int fd, int user_namespace, bool recursive, struct error *err)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP,
                                    .userns_fd = (uint64_t)user_namespace};
    if (set_attributes(fd, recursive ? AT_RECURSIVE : 0, &attributes) < 0)
        return error_set(err, errno,
                         "can't map the owners of the mount (does its file system support "
                         "id-mapped mounts?)");
    return 0;
}

int mount_reconfigure(int fd, const struct mount_options *options, const char *name,
                      struct error *err)
{
    scope_close int context = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    bool failed = context < 0;
    for (size_t i = 0; i < options->data_count && !failed; i++)
        failed = configure_option(context, options->data[i]) < 0;
    if (failed || fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return error_set(err, errno, "can't change the options of the file system at %s", name);
    return 0;
}

int mount_attach(int fd, int target, const char *name, struct error *err)
{
    if (move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set(err, errno, "can't attach the mount to %s", name);
    return 0;
}
