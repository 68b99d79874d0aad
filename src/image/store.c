#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"

#define LAYOUT "{\"imageLayoutVersion\": \"1.0.0\"}\n"
#define RESERVE_SIZE (128 << 10)
#define FREE_MAX (256ll << 20)     /* what we leave free of the disk, at most */
#define SCRATCH_LIMIT (64ll << 30) /* of one archive */
#define EMPTY_INDEX "{\"schemaVersion\": 2, \"manifests\": []}\n"

static const char *const directories[] = {"blobs",      "blobs/sha256", "ingest", "layers",
                                          "layer-info", "leases",       "unpack"};

void store_warn(const struct image_store *store, const char *format, ...)
{
    struct error text = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text.text, sizeof text.text, format, args);
    va_end(args);
    warnings_say(store->warnings, &text);
}

struct store_path store_blob_path(const char *digest)
{
    struct store_path path;
    snprintf(path.text, sizeof path.text, "blobs/sha256/%.64s", digest_hex(digest));
    return path;
}

struct store_path store_layer_path(const char *chain_id)
{
    struct store_path path;
    snprintf(path.text, sizeof path.text, "layers/%.24s", digest_hex(chain_id));
    return path;
}

struct store_path store_layer_info_path(const char *chain_id, bool fresh)
{
    struct store_path path;
    snprintf(path.text, sizeof path.text, "layer-info/%.24s.%s", digest_hex(chain_id),
             fresh ? "fresh" : "json");
    return path;
}

int store_lock(struct image_store *store, enum store_lock kind, struct error *err)
{
    scope_close int fd = openat(store->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "image store %s: can't open its lock", store->directory);
    if (file_lock(fd, kind == STORE_LOCK_SHARED ? LOCK_SH : LOCK_EX) < 0)
        return error_set(err, errno, "image store %s: can't lock it", store->directory);
    return scope_take_fd(&fd);
}

static void make_name(char *name, size_t size, const char *prefix)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)clock() ^ (uint64_t)getpid() << 32;
    snprintf(name, size, "%s%016llx", prefix, (unsigned long long)random);
}

int store_replace_file(struct image_store *store, const char *path, const void *bytes,
                       size_t length, bool durable, struct error *err)
{
    char beside[64];
    make_name(beside, sizeof beside, "unpack/file.");
    scope_close int fd = openat(store->fd, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(err, errno, "image store %s: can't write %s", store->directory, path);
    if (file_write_all(fd, bytes, length) < 0 || (durable && fsync(fd) < 0) ||
        renameat(store->fd, beside, store->fd, path) < 0) {
        error_set(err, errno, "image store %s: can't write %s", store->directory, path);
        unlinkat(store->fd, beside, 0);
        return -1;
    }
    if (durable) {
        scope_close int directory = openat(store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0 || fsync(directory) < 0)
            return error_set(err, errno, "image store %s: can't write %s to the disk",
                             store->directory, path);
    }
    return 0;
}

void store_make_reserve(struct image_store *store)
{
    if (faccessat(store->fd, "reserve", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    scope_close int fd =
        openat(store->fd, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, RESERVE_SIZE) != 0)
        unlinkat(store->fd, "reserve", 0);
}

int store_move_to_trash(struct image_store *store, const char *path, struct error *err)
{
    char place[64];
    make_name(place, sizeof place, "unpack/trash.");
    if (renameat(store->fd, path, store->fd, place) < 0 && errno != ENOENT)
        return error_set(err, errno, "image store %s: can't remove %s", store->directory, path);
    return 0;
}

int store_hold_trash(struct image_store *store)
{
    int fd = openat(store->fd, "unpack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        file_lock(fd, LOCK_SH);
    return fd;
}

bool store_trash_is_held(struct image_store *store)
{
    scope_close int fd = openat(store->fd, "unpack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

int store_empty_trash(struct image_store *store, struct error *err)
{
    int fd = openat(store->fd, "unpack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "image store %s: can't read unpack", store->directory);
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        /* "pull.ID.N" is a live lease's own; "file.ID" is about to be renamed: see
         * store_collect(). */
        char lease[32];
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "file.", 5) == 0)
            continue;
        if (sscanf(entry->d_name, "pull.%16[0-9a-f].", lease) == 1) {
            char name[48];
            snprintf(name, sizeof name, "pull.%s", lease);
            if (store_lease_is_alive(store, name))
                continue;
        }
        if (remove_tree(fd, entry->d_name, NULL, err) < 0)
            return -1;
    }
    return 0;
}

int store_synchronise(struct image_store *store, struct error *err)
{
    scope_close int fd = openat(store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return error_set(err, errno, "image store %s: can't write to the disk", store->directory);
    return 0;
}

/* Layers are unpacked into parts of the disk of their own, where the file system knows that (ext4:
 * chattr +T): where thousands of files were removed a minute ago, finding an inode for a new one
 * takes ext4 ten times as long, and with several layers at a time each waits for the others. */
static void spread_layers(const struct image_store *store)
{
    scope_close int fd = openat(store->fd, "unpack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int flags;
    if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_TOPDIR_FL;
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
}

/* index.json comes last: a store that has it is whole. */
static int make_store(struct image_store *store, struct error *err)
{
    scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
    if (lock < 0)
        return -1;
    if (faccessat(store->fd, "index.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (mkdirat(store->fd, directories[i], 0700) < 0 && errno != EEXIST)
            return error_set(err, errno, "image store %s: can't make %s", store->directory,
                             directories[i]);
    spread_layers(store);
    /* A store that has blobs has lost its index: don't begin a new one over it. */
    int fd = openat(store->fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            return error_set(err, 0,
                             "image store %s: its index.json is gone (restore it, or remove the "
                             "directory to begin anew)",
                             store->directory);
    store_make_reserve(store);
    if (store_replace_file(store, "oci-layout", LAYOUT, strlen(LAYOUT), true, err) < 0)
        return -1;
    return store_replace_file(store, "index.json", EMPTY_INDEX, strlen(EMPTY_INDEX), true, err);
}

static int read_boot_id(char text[64], struct error *err)
{
    scope_free char *id = file_read_all(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 60, NULL, err);
    if (!id)
        return -1;
    snprintf(text, 64, "%.*s", (int)strcspn(id, "\n"), id);
    return 0;
}

/* Layers that weren't yet acknowledged may be on the disk only in part. */
static int drop_fresh_layers(struct image_store *store, struct error *err)
{
    int fd = openat(store->fd, "layer-info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "image store %s: can't read layer-info", store->directory);
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        char name[STORE_LAYER_NAME_SIZE], path[64];
        if (sscanf(entry->d_name, "%24[0-9a-f].fresh", name) != 1 ||
            !strstr(entry->d_name, ".fresh"))
            continue;
        snprintf(path, sizeof path, "layers/%s", name);
        if (store_move_to_trash(store, path, err) < 0)
            return -1;
        unlinkat(fd, entry->d_name, 0);
    }
    return 0;
}

/* The first to come after a reboot removes what pulls of before it left. What index.json names was
 * on the disk before it was named. */
static int clean_after_boot(struct image_store *store, struct error *err)
{
    char now[64], then[64] = "";
    if (read_boot_id(now, err) < 0)
        return -1;
    ssize_t length = readlinkat(store->fd, "boot", then, sizeof then - 1);
    if (length > 0 && strcmp(now, then) == 0)
        return 0;
    scope_close int trash = -1;
    {
        scope_close int lock = store_lock(store, STORE_LOCK_EXCLUSIVE, err);
        if (lock < 0)
            return -1;
        trash = store_hold_trash(store);
        json_t *index = store_index_read(store, err);
        int result = index ? drop_fresh_layers(store, err) : -1;
        /* A damaged image is no reason to open nothing any more: it couldn't be removed. Whoever
         * removes or prunes is told. */
        if (result == 0)
            store_collect(store, index, false, NULL, NULL);
        json_decref(index);
        if (result < 0)
            return -1;
        unlinkat(store->fd, "boot", 0);
        if (symlinkat(now, store->fd, "boot") < 0 && errno != EEXIST)
            return error_set(err, errno, "image store %s: can't note this boot", store->directory);
    }
    return store_empty_trash(store, err);
}

int image_store_open(struct image_store **result, const char *directory, struct error *err)
{
    struct image_store *store = memory_allocate(1, sizeof *store);
    *result = NULL;
    store->fd = -1;
    scope_free char *here = *directory == '/' ? NULL : getcwd(NULL, 0);
    store->directory =
        here ? memory_format("%s/%s", here, directory) : memory_copy_string(directory);
    int status = 0;
    store->fd = open(store->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (store->fd < 0 && errno == ENOENT) {
        status = file_make_directories(store->directory, 0700, err);
        store->fd = open(store->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (status == 0 && store->fd < 0)
        status = error_set(err, errno, "can't open the image store %s", store->directory);
    if (status == 0 && faccessat(store->fd, "index.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        status = make_store(store, err);
    if (status == 0)
        status = clean_after_boot(store, err);
    if (status < 0) {
        image_store_close(store);
        return -1;
    }
    *result = store;
    return 0;
}

void image_store_close(struct image_store *store)
{
    if (!store)
        return;
    if (store->fd >= 0)
        close(store->fd);
    free(store->directory);
    free(store);
}

const char *image_store_directory(const struct image_store *store)
{
    return store->directory;
}

int image_store_descriptor(const struct image_store *store)
{
    return store->fd;
}

void image_store_set_warnings(struct image_store *store, const struct warnings *warnings)
{
    store->warnings = warnings;
}

void image_progress_update(const struct image_progress *progress, const char *item,
                           enum image_progress_phase phase, int64_t done, int64_t total)
{
    if (progress && item)
        progress->update(progress, item, phase, done, total);
}

int64_t store_room(const struct image_store *store)
{
    struct statvfs status;
    if (fstatvfs(store->fd, &status) < 0)
        return INT64_MAX;
    int64_t size = (int64_t)status.f_blocks * (int64_t)status.f_frsize;
    int64_t free_bytes = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
    int64_t left = size / 20 < FREE_MAX ? size / 20 : FREE_MAX;
    return free_bytes > left ? free_bytes - left : 1;
}

int image_store_scratch(struct image_store *store, int64_t *limit, struct error *err)
{
    int64_t room = store_room(store);
    *limit = room < SCRATCH_LIMIT ? room : SCRATCH_LIMIT;
    int fd = openat(store->fd, "unpack", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EOPNOTSUPP) {
        scope_free char *name = memory_format("unpack/file.scratch.%d", (int)getpid());
        fd = openat(store->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlinkat(store->fd, name, 0);
    }
    return fd < 0 ? error_set(err, errno, "image store %s: can't make a file", store->directory)
                  : fd;
}
