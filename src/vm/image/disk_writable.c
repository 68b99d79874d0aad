/* The disk that a guest writes to: a sparse copy of an empty file system, because mke2fs takes tens
 * of milliseconds. The originals are kept by size:
 *
 *     ext4-SIZE            whole, never changed
 *     .new                 one that is being made, under a lock on the directory */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/image/disk.h"
#include "vm/image/tool.h"

#define KEPT_MAX 16 /* sizes; who asks for more gets them made anew */
#define FILE_SYSTEM_BLOCK 4096

/* Nothing is written that can be left away (inode tables, the journal's old contents): the file is
 * new, and holes are zeros. The guest's own mount initialises the rest when it has time. */
static int make_file_system(const char *file, int64_t size, struct error *err)
{
    scope_free char *blocks = memory_format("%lld", (long long)(size / FILE_SYSTEM_BLOCK));
    const char *const argv[] = {"mke2fs",
                                "-q",
                                "-F",
                                "-t",
                                "ext4",
                                "-b",
                                "4096",
                                "-I",
                                "256",
                                "-m",
                                "0",
                                "-O",
                                "^resize_inode",
                                "-E",
                                "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
                                file,
                                blocks,
                                NULL};
    return tool_run(&(struct tool){.argv = argv, .package = "e2fsprogs"}, err);
}

/* Room for another size. */
static void forget_others(int directory)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, "ext4-", 5) == 0 && ++count >= KEPT_MAX)
            unlinkat(fd, entry->d_name, 0);
}

static int make_original(int directory, const char *path, const char *name, int64_t size,
                         struct error *err)
{
    scope_free char *file = memory_format("%s/.new", path);
    forget_others(directory);
    if (unlinkat(directory, ".new", 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove %s", file);
    scope_close int fd =
        openat(directory, ".new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, size) < 0)
        return error_set(err, errno, "can't make %s", file);
    if (make_file_system(file, size, err) < 0)
        return -1;
    if (fsync(fd) < 0 || renameat(directory, ".new", directory, name) < 0)
        return error_set(err, errno, "can't make %s/%s", path, name);
    return scope_take_fd(&fd);
}

/* The original, open for reading; it may have no name any more. */
static int open_original(const char *path, int64_t size, struct error *err)
{
    scope_free char *name = memory_format("ext4-%lld", (long long)size);
    if (file_make_directories(path, 0700, err) < 0)
        return -1;
    scope_close int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't open %s", path);
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        return fd;
    while (flock(directory, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_set(err, errno, "can't lock %s", path);
    fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : make_original(directory, path, name, size, err);
}

static int copy_range(int from, int to, off_t at, off_t end)
{
    char buffer[64 << 10];
    while (at < end) {
        size_t wanted = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
        ssize_t count = pread(from, buffer, wanted, at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0 || lseek(to, at, SEEK_SET) < 0 ||
            file_write_all(to, buffer, (size_t)count) < 0)
            return -1;
        at += count;
    }
    return 0;
}

/* Shares the blocks where the file system can, else copies what isn't a hole. */
static int copy_sparse(int from, int to, int64_t size)
{
    off_t at = 0;
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, size) < 0)
        return -1;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE);
        if (end < 0 || copy_range(from, to, at, end) < 0)
            return -1;
        at = end;
    }
    return errno == ENXIO ? 0 : -1;
}

int disk_make_writable(const char *directory, const char *path, int64_t size, struct error *err)
{
    if (size < DISK_WRITABLE_MINIMUM || size > DISK_WRITABLE_MAXIMUM)
        return error_set(err, 0, "a virtual machine's disk can't have %lld bytes (16m to 16t)",
                         (long long)size);
    size -= size % FILE_SYSTEM_BLOCK;
    scope_close int original = open_original(directory, size, err);
    if (original < 0)
        return error_wrap(err, "can't make the disk %s", path);
    scope_free char *beside = memory_format("%s.new", path);
    unlink(beside);
    scope_close int fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "can't make the disk %s", path);
    if (copy_sparse(original, fd, size) == 0 && rename(beside, path) == 0)
        return 0;
    error_set(err, errno, "can't make the disk %s", path);
    unlink(beside);
    return -1;
}
