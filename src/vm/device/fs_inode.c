/* Files and open files that the guest knows of. Both tables are as large as descriptors allow and
 * cost memory only where they are used; ids carry how often their slot was used before, so that an
 * id that was given back is none. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/device/fs_session.h"

#define ROOT_SLOT FUSE_ROOT_ID

static uint64_t make_id(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | slot;
}

static uint32_t bucket_of(dev_t device, ino_t number)
{
    uint64_t mixed = (number ^ (uint64_t)device << 40) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(mixed >> 48) % FS_BUCKETS;
}

struct fs_inode *fs_inode_find(struct fs_session *session, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    if (slot == 0 || slot >= session->inode_end || !session->inodes[slot].used ||
        session->inodes[slot].generation != id >> 32)
        return NULL;
    return &session->inodes[slot];
}

uint64_t fs_inode_id(const struct fs_session *session, const struct fs_inode *inode)
{
    return make_id((uint32_t)(inode - session->inodes), inode->generation);
}

bool fs_inode_is_scarce(const struct fs_session *session)
{
    return session->inode_count > session->inode_limit / 4 * 3;
}

/* A slot for a file that isn't known yet; 0 if there is none. */
static uint32_t take_slot(struct fs_session *session)
{
    uint32_t slot = session->inode_free;
    if (slot) {
        session->inode_free = session->inodes[slot].next;
        session->inodes[slot].generation++;
    } else if (session->inode_end < session->inode_limit) {
        slot = session->inode_end++;
    }
    return slot;
}

/* One file in two mounts is two inodes: one of the mounts may be read-only, and what is opened by
 * an inode goes by its mount. */
static uint64_t mount_of(int fd)
{
    struct statx status;
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0 ? 0
                                                                                : status.stx_mnt_id;
}

int fs_inode_add(struct fs_session *session, int fd, struct fs_inode **inode, struct stat *status)
{
    scope_close int mine = fd;
    if (fstatat(fd, "", status, AT_EMPTY_PATH) < 0)
        return -errno;
    uint64_t mount = mount_of(fd);
    uint32_t *bucket = &session->buckets[bucket_of(status->st_dev, status->st_ino)];
    for (uint32_t slot = *bucket; slot; slot = session->inodes[slot].next) {
        struct fs_inode *known = &session->inodes[slot];
        if (known->number == status->st_ino && known->device == status->st_dev &&
            known->mount == mount) {
            known->lookups++;
            *inode = known;
            return 0;
        }
    }
    uint32_t slot = take_slot(session);
    if (slot == 0)
        return -ENFILE;
    *inode = &session->inodes[slot];
    **inode = (struct fs_inode){.fd = scope_take_fd(&mine),
                                .generation = (*inode)->generation,
                                .used = true,
                                .type = status->st_mode & S_IFMT,
                                .device = status->st_dev,
                                .number = status->st_ino,
                                .mount = mount,
                                .lookups = 1,
                                .next = *bucket};
    *bucket = slot;
    session->inode_count++;
    return 0;
}

static void drop(struct fs_session *session, uint32_t slot)
{
    struct fs_inode *inode = &session->inodes[slot];
    uint32_t *at = &session->buckets[bucket_of(inode->device, inode->number)];
    while (*at != slot)
        at = &session->inodes[*at].next;
    *at = inode->next;
    if (inode->fd != session->root)
        close(inode->fd);
    inode->used = false;
    inode->next = session->inode_free;
    session->inode_free = slot;
    session->inode_count--;
}

void fs_inode_forget(struct fs_session *session, uint64_t id, uint64_t lookups)
{
    struct fs_inode *inode = fs_inode_find(session, id);
    if (!inode || id == FUSE_ROOT_ID)
        return;
    inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
    if (inode->lookups == 0)
        drop(session, (uint32_t)id);
}

int fs_inode_look_up(struct fs_session *session, const struct fs_inode *directory, const char *name,
                     struct fs_inode **inode, struct stat *status)
{
    if (!S_ISDIR(directory->type))
        return -ENOTDIR;
    /* The last component may be a link, which is opened itself. Mounts inside the directory are
     * part of what is shared, so they may be crossed. */
    int fd = file_open_resolved(directory->fd, name, O_PATH | O_NOFOLLOW, 0,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    return fd < 0 ? -errno : fs_inode_add(session, fd, inode, status);
}

int fs_inode_open(const struct fs_session *session, const struct fs_inode *inode, int flags)
{
    char name[16];
    if (S_ISLNK(inode->type))
        return -ELOOP;
    if (!S_ISREG(inode->type) && !S_ISDIR(inode->type))
        return -ENXIO; /* the guest's kernel opens its own devices and pipes */
    snprintf(name, sizeof name, "%d", inode->fd);
    int fd = openat(session->proc, name,
                    (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int fs_handle_add(struct fs_session *session, int fd, bool is_directory, uint64_t *id)
{
    uint32_t slot = session->handle_free;
    if (slot) {
        session->handle_free = session->handles[slot].next;
        session->handles[slot].generation++;
    } else if (session->handle_end < session->handle_limit) {
        slot = session->handle_end++;
    } else {
        close(fd);
        return -ENFILE;
    }
    struct fs_handle *handle = &session->handles[slot];
    handle->fd = fd;
    handle->used = true;
    handle->is_directory = is_directory;
    *id = make_id(slot, handle->generation);
    return 0;
}

static struct fs_handle *find_handle(const struct fs_session *session, uint64_t id,
                                     bool is_directory)
{
    uint32_t slot = (uint32_t)id;
    struct fs_handle *handle = &session->handles[slot < session->handle_end ? slot : 0];
    return handle->used && handle->generation == id >> 32 && handle->is_directory == is_directory
               ? handle
               : NULL;
}

int fs_handle_find(const struct fs_session *session, uint64_t id, bool is_directory)
{
    const struct fs_handle *handle = find_handle(session, id, is_directory);
    return handle ? handle->fd : -1;
}

int fs_handle_close(struct fs_session *session, uint64_t id, bool is_directory)
{
    struct fs_handle *handle = find_handle(session, id, is_directory);
    if (!handle)
        return -EBADF;
    close(handle->fd);
    handle->used = false;
    handle->next = session->handle_free;
    session->handle_free = (uint32_t)id;
    return 0;
}

/* The root, which is never forgotten. */
static void add_root(struct fs_session *session)
{
    struct stat status = {0};
    fstatat(session->root, "", &status, AT_EMPTY_PATH);
    uint32_t *bucket = &session->buckets[bucket_of(status.st_dev, status.st_ino)];
    session->inodes[ROOT_SLOT] = (struct fs_inode){.fd = session->root,
                                                   .used = true,
                                                   .type = S_IFDIR,
                                                   .device = status.st_dev,
                                                   .number = status.st_ino,
                                                   .mount = mount_of(session->root),
                                                   .lookups = 1};
    *bucket = ROOT_SLOT;
    session->inode_end = ROOT_SLOT + 1;
    session->inode_count = 1;
}

void fs_session_reset(struct fs_session *session)
{
    for (uint32_t slot = ROOT_SLOT + 1; slot < session->inode_end; slot++) {
        if (session->inodes[slot].used)
            close(session->inodes[slot].fd);
    }
    for (uint32_t slot = 1; slot < session->handle_end; slot++) {
        if (session->handles[slot].used)
            close(session->handles[slot].fd);
    }
    memset(session->inodes, 0, session->inode_end * sizeof *session->inodes);
    memset(session->handles, 0, session->handle_end * sizeof *session->handles);
    memset(session->buckets, 0, FS_BUCKETS * sizeof *session->buckets);
    session->inode_free = session->handle_free = 0;
    session->handle_end = 1;
    session->greeted = false;
    add_root(session);
}

struct fs_session *fs_session_create(int root, int proc, enum virtio_fs_cache cache,
                                     unsigned descriptors)
{
    struct fs_session *session = memory_allocate(1, sizeof *session);
    session->root = root;
    session->proc = proc;
    session->cache = cache;
    session->handle_limit = descriptors / 8 + 2;
    session->inode_limit = descriptors - descriptors / 8;
    /* Zeroed memory of this size takes no pages until it is used. */
    session->inodes = memory_allocate(session->inode_limit, sizeof *session->inodes);
    session->handles = memory_allocate(session->handle_limit, sizeof *session->handles);
    session->buckets = memory_allocate(FS_BUCKETS, sizeof *session->buckets);
    session->request = memory_allocate(1, FS_MESSAGE_MAX);
    session->answer = memory_allocate(1, FS_MESSAGE_MAX);
    session->handle_end = 1;
    add_root(session);
    return session;
}

void fs_session_release(struct fs_session *session)
{
    fs_session_reset(session);
    free(session->inodes);
    free(session->handles);
    free(session->buckets);
    free(session->request);
    free(session->answer);
    free(session);
}
