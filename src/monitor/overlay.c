/* mount(2) takes a page of options, which long names of many layers fill. So the names are relative
 * to the directory that they share, and where that isn't enough, each is given by itself with
 * fsconfig(2) "lowerdir+" (Linux 6.5). */
#include "monitor/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"

/* sys/mount.h and linux/mount.h don't go together in every C library. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define UNMOUNT_DETACH 2   /* MNT_DETACH */
#define UNMOUNT_NOFOLLOW 8 /* UMOUNT_NOFOLLOW */
#define PROPAGATION_SLAVE (MS_REC | MS_SLAVE)
#define OPTIONS_SIZE 4096 /* a page, on the smallest */

int overlay_leave_host(int *root, struct error *err)
{
    scope_close int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    scope_close int directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (host < 0 || directory < 0)
        return error_set(err, errno, "can't open /proc/self/ns/mnt or /");
    if (unshare(CLONE_NEWNS) < 0)
        return error_set(err, errno, "can't make a mount namespace for the container's monitor");
    if (mount(NULL, "/", NULL, PROPAGATION_SLAVE, NULL) < 0)
        return error_set(err, errno, "can't make the monitor's mounts its own");
    if (root)
        *root = scope_take_fd(&directory);
    return scope_take_fd(&host);
}

/* How many bytes the directories have in common, up to a slash. */
static size_t shared_prefix(const struct monitor_strings *lower)
{
    const char *first = lower->items[0];
    size_t length = strlen(first);
    for (size_t i = 1; i < lower->count; i++) {
        size_t same = 0;
        while (same < length && first[same] == lower->items[i][same])
            same++;
        length = same;
    }
    /* One that is a prefix of another ends at its last slash, too: no name may become empty. */
    while (length > 0 && first[length - 1] != '/')
        length--;
    for (size_t i = 0; i < lower->count; i++) {
        if (strlen(lower->items[i]) == length)
            return 1;
    }
    return length;
}

/* In mount(2)'s options commas separate options, colons directories, and a backslash escapes. */
static void add_escaped(FILE *out, const char *path, bool colons)
{
    for (; *path; path++) {
        if (*path == '\\' || *path == ',' || (colons && *path == ':'))
            putc('\\', out);
        putc(*path, out);
    }
}

static char *format_options(const struct monitor_overlay *overlay, size_t prefix)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return NULL;
    fputs("lowerdir=", out);
    for (size_t i = 0; i < overlay->lower.count; i++) {
        if (i > 0)
            putc(':', out);
        add_escaped(out, overlay->lower.items[i] + prefix, true);
    }
    if (overlay->upper) {
        fputs(",upperdir=", out);
        add_escaped(out, overlay->upper, false);
        fputs(",workdir=", out);
        add_escaped(out, overlay->work, false);
    }
    if (overlay->userxattr)
        fputs(",userxattr", out);
    if (overlay->options)
        fprintf(out, ",%s", overlay->options);
    fclose(out);
    return text;
}

static int configure(int context, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
                        value, 0);
}

static int configure_options(int context, const char *text)
{
    scope_free char *copy = memory_copy_string(text ? text : "");
    char *rest = copy;
    for (char *option; (option = strsep(&rest, ","));) {
        char *value = strchr(option, '=');
        if (value)
            *value++ = '\0';
        if (*option && configure(context, option, value) < 0)
            return -1;
    }
    return 0;
}

static int mount_piece_by_piece(const struct monitor_overlay *overlay, size_t prefix)
{
    scope_close int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0 || configure(context, "source", "overlay") < 0)
        return -1;
    for (size_t i = 0; i < overlay->lower.count; i++) {
        if (configure(context, "lowerdir+", overlay->lower.items[i] + prefix) < 0)
            return -1;
    }
    if (overlay->upper && (configure(context, "upperdir", overlay->upper) < 0 ||
                           configure(context, "workdir", overlay->work) < 0))
        return -1;
    if ((overlay->userxattr && configure(context, "userxattr", NULL) < 0) ||
        configure_options(context, overlay->options) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    scope_close int made = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    if (made < 0)
        return -1;
    return (int)syscall(SYS_move_mount, made, "", AT_FDCWD, overlay->target,
                        MOVE_MOUNT_F_EMPTY_PATH);
}

static int mount_from(const struct monitor_overlay *overlay, size_t prefix, struct error *err)
{
    scope_free char *options = format_options(overlay, prefix);
    if (!options)
        return error_set(err, ENOMEM, "can't describe the container's root");
    int result = strlen(options) < OPTIONS_SIZE
                     ? mount("overlay", overlay->target, "overlay", 0, options)
                     : mount_piece_by_piece(overlay, prefix);
    if (result < 0)
        return error_set(err, errno, "can't mount the container's root on %s (%zu layers)",
                         overlay->target, overlay->lower.count);
    return 0;
}

/* ---- with other owners ---- */

#define TEXT_SIZE 32

/* Mounts a copy of the directory's mount at target/NAME, where its owners are mapped. */
static int mount_mapped(const char *directory, int user_namespace, int target, const char *name)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP,
                                    .userns_fd = (uint64_t)user_namespace};
    scope_close int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
        return -1;
    if (mkdirat(target, name, 0700) < 0)
        return -1;
    return (int)syscall(SYS_move_mount, tree, "", target, name, MOVE_MOUNT_F_EMPTY_PATH);
}

/* overlayfs takes owners as its layers show them; so each layer is mounted once more, mapped, on a
 * tmpfs below the place where the overlay comes then. */
static int mount_layers_mapped(const struct monitor_overlay *overlay, struct error *err)
{
    char name[TEXT_SIZE];
    scope_close int user_namespace = open(overlay->user_namespace, O_RDONLY | O_CLOEXEC);
    if (user_namespace < 0)
        return error_set(err, errno, "can't open the user namespace %s", overlay->user_namespace);
    if (mount("tmpfs", overlay->target, "tmpfs", 0, "mode=0700") < 0)
        return error_set(err, errno, "can't mount a tmpfs on %s", overlay->target);
    scope_close int target = open(overlay->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target < 0)
        return error_set(err, errno, "can't open %s", overlay->target);
    for (size_t i = 0; i < overlay->lower.count; i++) {
        snprintf(name, sizeof name, "%zu", i);
        if (mount_mapped(overlay->lower.items[i], user_namespace, target, name) < 0)
            return error_set(err, errno, "can't map the owners of %s (Linux 5.19 can)",
                             overlay->lower.items[i]);
    }
    if (!overlay->upper)
        return 0;
    const char *slash = strrchr(overlay->upper, '/');
    scope_free char *own = strndup(overlay->upper, (size_t)(slash - overlay->upper));
    if (!own || mount_mapped(own, user_namespace, target, "own") < 0)
        return error_set(err, errno, "can't map the owners of %s", own ? own : "a directory");
    return 0;
}

static void unmount_all(const char *target)
{
    while (umount2(target, UNMOUNT_DETACH | UNMOUNT_NOFOLLOW) == 0)
        continue;
}

static int mount_overlay(const struct monitor_overlay *overlay, struct error *err);

/* All capabilities that we may have: some go from the effective ones with fsuid 0. */
static int raise_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted;
    return (int)syscall(SYS_capset, &header, data);
}

/* overlayfs writes to upper as who has mounted it, and our root isn't mapped there: the container's
 * root mounts, with our capabilities. */
static int mount_as_mapped_root(const struct monitor_overlay *overlay, struct error *err)
{
    struct stat status;
    int result = -1;
    if (stat(overlay->upper ? overlay->upper : overlay->lower.items[0], &status) < 0)
        return error_set(err, errno, "can't look at %s", overlay->upper);
    setfsgid(status.st_gid);
    setfsuid(status.st_uid);
    if (raise_capabilities() < 0)
        error_set(err, errno, "can't keep the capabilities to mount with");
    else
        result = mount_overlay(overlay, err);
    setfsuid(geteuid());
    setfsgid(getegid());
    return result;
}

static int overlay_mount_mapped(const struct monitor_overlay *overlay, struct error *err)
{
    char **names = calloc(overlay->lower.count + 2, sizeof *names);
    struct monitor_overlay mapped = *overlay;
    int result = names ? mount_layers_mapped(overlay, err) : error_set(err, ENOMEM, "no memory");
    mapped.user_namespace = NULL;
    mapped.lower.items = (const char **)names;
    for (size_t i = 0; result == 0 && i < overlay->lower.count; i++)
        if (asprintf(&names[i], "%s/%zu", overlay->target, i) < 0)
            result = error_set(err, ENOMEM, "no memory");
    scope_free char *upper = NULL, *work = NULL;
    if (result == 0 && overlay->upper &&
        (asprintf(&upper, "%s/own%s", overlay->target, strrchr(overlay->upper, '/')) < 0 ||
         asprintf(&work, "%s/own%s", overlay->target, strrchr(overlay->work, '/')) < 0))
        result = error_set(err, ENOMEM, "no memory");
    mapped.upper = upper;
    mapped.work = work;
    if (result == 0)
        result = mount_as_mapped_root(&mapped, err);
    if (result < 0)
        unmount_all(overlay->target);
    for (size_t i = 0; names && i < overlay->lower.count; i++)
        free(names[i]);
    free(names);
    return result;
}

/* ---- */

static int mount_overlay(const struct monitor_overlay *overlay, struct error *err)
{
    size_t prefix = shared_prefix(&overlay->lower);
    scope_free char *directory = strndup(overlay->lower.items[0], prefix);
    scope_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!directory || here < 0 || chdir(directory) < 0)
        return error_set(err, errno, "can't go to the image's layers");
    int result = mount_from(overlay, prefix, err);
    if (fchdir(here) < 0 && result == 0)
        return error_set(err, errno, "can't go back from the image's layers");
    return result;
}

int overlay_mount(const struct monitor_overlay *overlay, struct error *err)
{
    return overlay->user_namespace ? overlay_mount_mapped(overlay, err)
                                   : mount_overlay(overlay, err);
}

void overlay_unmount(const struct monitor_overlay *overlay)
{
    if (overlay->target)
        unmount_all(overlay->target);
}
