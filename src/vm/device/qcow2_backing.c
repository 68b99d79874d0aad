/* Backing files: what an image reads as where it has nothing of its own. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/disk_file.h"
#include "vm/device/qcow2_image.h"

/* Opens a name from inside the image, relative to the image's directory. */
static int open_name(const struct qcow2 *image, const char *name, enum disk_backing policy,
                     struct error *err)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                           .resolve = RESOLVE_NO_MAGICLINKS};
    scope_free char *copy = memory_copy_string(image->path);
    const char *colon = strchr(name, ':'), *slash = strchr(name, '/');
    struct stat status;
    if (policy == DISK_BACKING_NONE)
        return error_set(err, 0, "image %s has a backing file '%s', and those aren't allowed here",
                         image->path, name);
    if (colon && (!slash || colon < slash))
        return error_set(err, 0, "image %s has a backing file that isn't a file: '%s'", image->path,
                         name);
    scope_close int directory = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't open the directory of image %s", image->path);
    if (policy == DISK_BACKING_BENEATH)
        how.resolve |= RESOLVE_BENEATH;
    scope_close int fd = (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
    if (fd < 0 && errno == EXDEV)
        return error_set(err, 0,
                         "image %s has a backing file '%s' that isn't below its own directory",
                         image->path, name);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno, "can't open '%s', the backing file of image %s", name,
                         image->path);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(err, 0, "'%s', the backing file of image %s, is no file", name,
                         image->path);
    return scope_take_fd(&fd);
}

static char *path_of(const struct qcow2 *image, const char *name)
{
    scope_free char *copy = memory_copy_string(image->path);
    return name[0] == '/' ? memory_copy_string(name) : memory_format("%s/%s", dirname(copy), name);
}

int qcow2_open_backing(struct qcow2 *image, const char *name, const char *format,
                       const struct disk_settings *settings, unsigned depth, struct error *err)
{
    /* A raw file is never taken for an image by what is in it, which a guest may have written. */
    bool raw = format && strcmp(format, "raw") == 0;
    if (!format || (!raw && strcmp(format, "qcow2") != 0))
        return error_set(err, 0,
                         "image %s doesn't say that its backing file is raw or qcow2 (set it: "
                         "qemu-img rebase -u -F FORMAT -b '%s' '%s')",
                         image->path, name, image->path);
    if (depth >= QCOW2_BACKING_DEPTH_MAX)
        return error_set(err, 0, "image %s is the end of a chain of more than %d backing files",
                         image->path, QCOW2_BACKING_DEPTH_MAX);
    scope_close int fd = open_name(image, name, settings->backing, err);
    if (fd < 0)
        return -1;
    if (raw) {
        off_t end = lseek(fd, 0, SEEK_END);
        if (end < 0)
            return error_set(err, errno, "can't get the size of '%s'", name);
        image->backing_size = (uint64_t)end;
        image->backing_fd = scope_take_fd(&fd);
        return 0;
    }
    struct disk_settings theirs = *settings;
    scope_free char *path = path_of(image, name);
    theirs.read_only = true;
    if (qcow2_open_at_depth(&image->backing, scope_take_fd(&fd), path, &theirs, depth + 1, err) < 0)
        return -1;
    image->backing_size = image->backing->size;
    return 0;
}

int qcow2_read_backing(struct qcow2 *image, const struct iovec *parts, unsigned count,
                       uint64_t offset, uint64_t size)
{
    if (!qcow2_has_backing(image) || offset >= image->backing_size) {
        disk_parts_clear(parts, count);
        return 0;
    }
    uint64_t inside = image->backing_size - offset < size ? image->backing_size - offset : size;
    scope_free struct iovec *slice = memory_allocate(count + 1, sizeof *slice);
    unsigned used = disk_parts_slice(parts, count, inside, size - inside, slice);
    disk_parts_clear(slice, used); /* a backing file may be shorter */
    used = disk_parts_slice(parts, count, 0, inside, slice);
    return image->backing ? qcow2_read(image->backing, slice, used, offset, inside)
                          : disk_file_read_parts_or_zeros(image->backing_fd, slice, used, offset);
}
