/* Kernels come into the store: made in a directory beside, and renamed when all is there. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "vm/image/kernel_internal.h"
#include "vm/image/tool.h"

#define STAGING ".new-"

/* Those whose makers are gone are locked by nobody. */
static int clean(int store, struct error *err)
{
    int fd = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "can't read the kernels");
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strncmp(entry->d_name, STAGING, strlen(STAGING)) != 0)
            continue;
        scope_close int old =
            openat(store, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (old >= 0 && flock(old, LOCK_EX | LOCK_NB) == 0 &&
            remove_tree(store, entry->d_name, NULL, err) < 0)
            return -1;
    }
    return 0;
}

int kernel_staging_begin(const char *root, struct kernel_staging *staging, struct error *err)
{
    uint64_t random;
    *staging = (struct kernel_staging){.store = -1, .fd = -1};
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set(err, errno, "can't get a random number");
    staging->store = kernel_open_store(root, err);
    scope_close int lock = staging->store < 0 ? -1 : kernel_lock_store(staging->store, err);
    scope_free char *absolute = realpath(root, NULL);
    if (lock < 0 || clean(staging->store, err) < 0)
        return -1;
    snprintf(staging->name, sizeof staging->name, STAGING "%016llx", (unsigned long long)random);
    staging->path = memory_format("%s/kernels/%s", absolute ? absolute : root, staging->name);
    if (mkdirat(staging->store, staging->name, 0755) == 0)
        staging->fd = openat(staging->store, staging->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (staging->fd < 0 || flock(staging->fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno, "can't make %s", staging->path);
    return 0;
}

void kernel_staging_end(struct kernel_staging *staging)
{
    if (staging->fd >= 0) {
        remove_tree(staging->store, staging->name, NULL, NULL);
        close(staging->fd);
    }
    if (staging->store >= 0)
        close(staging->store);
    free(staging->path);
    *staging = (struct kernel_staging){.store = -1, .fd = -1};
}

/* ---- What a kernel needs ---- */

/* An ELF file is vmlinux, whatever it was called; a bzImage is unpacked into one. */
static int unpack(struct kernel_staging *staging, struct kernel_image *image, struct error *err)
{
    scope_close int fd = openat(staging->fd, "vmlinuz", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_set(err, errno, "there is no kernel in it");
    if (kernel_image_read(fd, "the kernel", image, err) < 0)
        return -1;
    if (image->format == KERNEL_ELF)
        return renameat(staging->fd, "vmlinuz", staging->fd, "vmlinux") < 0
                   ? error_set(err, errno, "can't make %s/vmlinux", staging->path)
                   : 0;
    scope_close int out =
        openat(staging->fd, "vmlinux", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (out < 0)
        return error_set(err, errno, "can't make %s/vmlinux", staging->path);
    return kernel_image_unpack(fd, "the kernel", image, out, err);
}

/* Packages leave this to their installation. */
static int list_dependencies(const struct kernel_staging *staging, const char *version,
                             struct error *err)
{
    scope_free char *modules = memory_format("lib/modules/%s", version);
    scope_free char *list = memory_format("%s/modules.dep", modules);
    if (!*version || faccessat(staging->fd, modules, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
        faccessat(staging->fd, list, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    const char *const argv[] = {"depmod", "-b", staging->path, version, NULL};
    return tool_run(&(struct tool){.argv = argv, .package = "kmod"}, err);
}

static int64_t measure(const char *path)
{
    char *const paths[] = {(char *)path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int64_t size = 0;
    for (FTSENT *entry; tree && (entry = fts_read(tree));)
        if (entry->fts_info == FTS_F)
            size += entry->fts_statp->st_size;
    if (tree)
        fts_close(tree);
    return size;
}

/* Everything is on the disk before the kernel has its name. Modules are hundreds of files; without
 * them there is no reason to wait for what others have written to the same disk. */
static int synchronise(const struct kernel_staging *staging, struct error *err)
{
    static const char *const files[] = {"kernel.json", "vmlinux", "vmlinuz", "config"};
    if (faccessat(staging->fd, "lib", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return syncfs(staging->fd) < 0 ? error_set(err, errno, "can't write to the disk") : 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scope_close int fd = openat(staging->fd, files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && fsync(fd) < 0)
            return error_set(err, errno, "can't write %s/%s to the disk", staging->path, files[i]);
    }
    return fsync(staging->fd) < 0 ? error_set(err, errno, "can't write to the disk") : 0;
}

static int describe(const struct kernel_staging *staging, const char *version, const char *source,
                    struct error *err)
{
    json_t *info = json_pack("{s:s, s:s, s:I, s:I}", "version", version, "source", source, "size",
                             (json_int_t)measure(staging->path), "created", (json_int_t)time(NULL));
    scope_free char *text = info ? json_dumps(info, JSON_INDENT(2)) : NULL;
    json_decref(info);
    if (!text)
        return error_set(err, 0, "'%s' isn't UTF-8", source);
    scope_close int fd =
        openat(staging->fd, "kernel.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0)
        return error_set(err, errno, "can't write %s/kernel.json", staging->path);
    return synchronise(staging, err);
}

/* A kernel of this name changes places with the staging directory, and is removed with it. */
static int place(struct kernel_staging *staging, const char *name, struct error *err)
{
    char chosen[KERNEL_NAME_MAX + 1];
    scope_close int lock = kernel_lock_store(staging->store, err);
    if (lock < 0)
        return -1;
    int store = staging->store;
    bool replaced = faccessat(store, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (renameat2(store, staging->name, store, name, replaced ? RENAME_EXCHANGE : 0) < 0)
        return error_set(err, errno, "can't move kernel %s into its place", name);
    bool has_default = kernel_read_default(store, chosen) &&
                       faccessat(store, chosen, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    return has_default ? 0 : kernel_write_default(store, name, err);
}

int kernel_staging_commit(struct kernel_staging *staging, const char *name, const char *source,
                          char **result, struct error *err)
{
    struct kernel_image image;
    if (unpack(staging, &image, err) < 0 || list_dependencies(staging, image.version, err) < 0)
        return -1;
    if (!name && !*image.version)
        return error_set(err, 0, "the kernel doesn't say its version; give it a name");
    if (!name)
        name = image.version;
    if (kernel_check_name(name, err) < 0 || describe(staging, image.version, source, err) < 0 ||
        place(staging, name, err) < 0)
        return -1;
    *result = memory_copy_string(name);
    return 0;
}

/* ---- From files ---- */

static int copy_file(const char *from, const struct kernel_staging *staging, const char *name,
                     struct error *err)
{
    struct stat status;
    scope_close int in = open(from, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (in < 0 || fstat(in, &status) < 0)
        return error_set(err, errno, "can't open %s", from);
    if (!S_ISREG(status.st_mode) || status.st_size > KERNEL_FILE_MAX)
        return error_set(err, 0, "%s isn't a file of at most %u bytes", from, KERNEL_FILE_MAX);
    scope_close int out =
        openat(staging->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (out < 0)
        return error_set(err, errno, "can't make %s/%s", staging->path, name);
    for (off_t left = status.st_size; left > 0;) {
        ssize_t count = sendfile(out, in, NULL, (size_t)left);
        if (count <= 0)
            return error_set(err, count < 0 ? errno : EIO, "can't copy %s", from);
        left -= count;
    }
    return 0;
}

/* A directory of modules has the kernel's version as its name, also here. Links to the sources that
 * they were built from lead nowhere. */
static int copy_modules(const char *from, const struct kernel_staging *staging, const char *version,
                        struct error *err)
{
    struct stat status;
    scope_free char *kernel = memory_format("%s/kernel", from);
    if (stat(kernel, &status) < 0 || !S_ISDIR(status.st_mode))
        return error_set(err, 0, "%s isn't a directory of modules: it has no directory kernel",
                         from);
    if (!*version)
        return error_set(err, 0, "the kernel doesn't say its version, so it can't have modules");
    scope_free char *parent = memory_format("%s/lib/modules", staging->path);
    scope_free char *to = memory_format("%s/%s", parent, version);
    if (file_make_directories(parent, 0755, err) < 0)
        return -1;
    scope_free char *absolute = realpath(from, NULL);
    const char *const argv[] = {"cp", "-a", "--", absolute ? absolute : from, to, NULL};
    if (tool_run(&(struct tool){.argv = argv, .package = "coreutils"}, err) < 0)
        return -1;
    scope_close int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        unlinkat(fd, "build", 0);
        unlinkat(fd, "source", 0);
    }
    return 0;
}

static int read_version(const struct kernel_staging *staging, const char *file,
                        struct kernel_image *image, struct error *err)
{
    scope_close int fd = openat(staging->fd, "vmlinuz", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? error_set(err, errno, "can't open %s/vmlinuz", staging->path)
                  : kernel_image_read(fd, file, image, err);
}

int kernel_add(const char *root, const struct kernel_addition *addition, char **name,
               struct error *err)
{
    struct kernel_image image;
    *name = NULL;
    if (addition->name && kernel_check_name(addition->name, err) < 0)
        return -1;
    scope_kernel_staging struct kernel_staging staging = {.store = -1, .fd = -1};
    if (kernel_staging_begin(root, &staging, err) < 0 ||
        copy_file(addition->file, &staging, "vmlinuz", err) < 0 ||
        read_version(&staging, addition->file, &image, err) < 0)
        return -1;
    if (addition->modules && copy_modules(addition->modules, &staging, image.version, err) < 0)
        return -1;
    if (addition->config && copy_file(addition->config, &staging, "config", err) < 0)
        return -1;
    scope_free char *absolute = realpath(addition->file, NULL);
    scope_free char *source = memory_format("file %s", absolute ? absolute : addition->file);
    if (kernel_staging_commit(&staging, addition->name, source, name, err) < 0)
        return error_wrap(err, "%s", addition->file);
    return 0;
}
