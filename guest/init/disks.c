/* The container's root: the image's layers, read-only block devices, under a writable one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

#define MAX_LAYERS 128
#define DEVICE_WAIT_MS 10000

/* Drivers find their devices, and partitions, while we are here already. */
static int await_device(const char *path, struct error *err)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int64_t deadline = loop_now() + DEVICE_WAIT_MS;
    struct stat status;
    while (stat(path, &status) < 0) {
        if (errno != ENOENT || loop_now() > deadline)
            return error_set(err, errno, "the device %s", path);
        nanosleep(&moment, NULL);
    }
    return S_ISBLK(status.st_mode) ? 0 : error_set(err, ENOTBLK, "the device %s", path);
}

static int mount_device(const struct guest *guest, const json_t *disk, const char *target,
                        unsigned long flags, struct error *err)
{
    const char *device = json_string_value(json_object_get(disk, "device"));
    const char *type = json_string_value(json_object_get(disk, "type"));
    const char *options = json_string_value(json_object_get(disk, "options"));
    if (!device || !type)
        return error_set(err, EINVAL, "a disk needs a device and a type");
    if (await_device(device, err) < 0)
        return -1;
    scope_free char *condition = memory_format("fs:%s", type);
    modules_load(guest->modules, condition);
    if (mount(device, target, type, flags, options) < 0)
        return error_set(err, errno, "can't mount %s, an %s, on %s", device, type, target);
    return 0;
}

/* Named by number, and relative: the names of all have to fit a page (mount(2)). */
static char *mount_layers(const struct guest *guest, const json_t *layers, struct error *err)
{
    size_t count = json_array_size(layers);
    if (count == 0 || count > MAX_LAYERS) {
        error_set(err, EINVAL, "root.layers: expected 1 to %d", MAX_LAYERS);
        return NULL;
    }
    scope_free char *names = memory_allocate(count, 5);
    for (size_t i = count; i-- > 0;) {
        char path[32];
        snprintf(path, sizeof path, GUEST_LAYERS "/%zu", i);
        mkdir(path, 0755);
        if (mount_device(guest, json_array_get(layers, i), path, MS_RDONLY, err) < 0) {
            error_wrap(err, "layer %zu", i);
            return NULL;
        }
        /* The highest comes first. */
        sprintf(names + strlen(names), "%s%zu", i + 1 < count ? ":" : "", i);
    }
    return scope_take_pointer(names);
}

static int mount_disk(const struct guest *guest, const json_t *disk, struct error *err)
{
    static const char *const directories[] = {GUEST_DISK "/upper", GUEST_DISK "/work"};
    if (disk) {
        if (mount_device(guest, disk, GUEST_DISK, 0, err) < 0)
            return -1;
    } else if (mount("tmpfs", GUEST_DISK, "tmpfs", 0, "mode=755") < 0) {
        return error_set(err, errno, "can't mount a tmpfs for the container's files");
    }
    for (size_t i = 0; i < 2; i++) {
        if (mkdir(directories[i], 0755) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make %s", directories[i]);
    }
    return 0;
}

int disks_mount(const struct guest *guest, const json_t *root, struct error *err)
{
    scope_free char *lower = mount_layers(guest, json_object_get(root, "layers"), err);
    if (!lower || mount_disk(guest, json_object_get(root, "disk"), err) < 0)
        return -1;
    scope_free char *options = memory_format(
        "lowerdir=%s,upperdir=" GUEST_DISK "/upper,workdir=" GUEST_DISK "/work", lower);
    int failed = chdir(GUEST_LAYERS) < 0 || mount("overlay", GUEST_ROOT, "overlay", 0, options) < 0;
    int code = errno;
    if (chdir("/") < 0 || failed)
        return error_set(err, code, "can't mount the overlay (%s)", options);
    return 0;
}

/* Directories of the host's (virtio-fs), by their tag: what the configuration's bind mounts have as
 * sources. One may serve many volumes, read-only or not, and single files. */
int disks_mount_shares(const json_t *shares, struct error *err)
{
    size_t i;
    json_t *share;
    json_array_foreach(shares, i, share)
    {
        const char *tag = json_string_value(share);
        if (!tag || !*tag || strchr(tag, '/') || *tag == '.')
            return error_set(err, EINVAL, "shares[%zu]: expected a tag", i);
        scope_free char *path = memory_format(GUEST_SHARES "/%s", tag);
        if (mkdir(path, 0755) < 0 || mount(tag, path, "virtiofs", MS_NOSUID | MS_NODEV, NULL) < 0)
            return error_set(err, errno, "can't mount the host's directory '%s'", tag);
    }
    return 0;
}

/* Whatever is mounted; the first failure is told. */
int disks_unmount(struct error *err)
{
    int result = 0;
    if (umount2(GUEST_ROOT, 0) < 0 && errno != EINVAL)
        result = error_set(err, errno, "can't unmount the container's root");
    if (umount2(GUEST_DISK, 0) < 0 && errno != EINVAL) {
        /* What couldn't be unmounted is written out, at least, and takes nothing more. */
        mount(NULL, GUEST_DISK, NULL, MS_REMOUNT | MS_RDONLY, NULL);
        if (result == 0)
            result = error_set(err, errno, "can't unmount the container's disk");
    }
    scope_closedir DIR *shares = opendir(GUEST_SHARES);
    struct dirent *entry;
    while (shares && (entry = readdir(shares))) {
        scope_free char *path = memory_format(GUEST_SHARES "/%s", entry->d_name);
        if (entry->d_name[0] != '.' && umount2(path, 0) < 0 && errno != EINVAL && result == 0)
            result =
                error_set(err, errno, "can't unmount the host's directory '%s'", entry->d_name);
        rmdir(path);
    }
    for (size_t i = 0; i < MAX_LAYERS; i++) {
        char path[32];
        snprintf(path, sizeof path, GUEST_LAYERS "/%zu", i);
        if (umount2(path, 0) < 0 && errno == ENOENT)
            break;
    }
    return result;
}
