/* Requests about open directories. The position in one is the kernel's: each request seeks to
 * where the guest says it is, so that nothing is kept between them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm/device/fs_session.h"

#define ENTRIES_SIZE 32768

int fs_opendir(struct fs_session *session, struct fs_request *request)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    struct fuse_open_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    if (!inode)
        return -ESTALE;
    if (!S_ISDIR(inode->type))
        return -ENOTDIR;
    int fd = fs_inode_open(session, inode, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    out->open_flags = fs_cache_open_flags(session, true);
    return fs_handle_add(session, fd, true, &out->fh);
}

int fs_releasedir(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_release_in *in = fs_request_take(request, sizeof *in);
    return in ? fs_handle_close(session, in->fh, true) : -EINVAL;
}

static void fill_entry(struct fuse_dirent *out, const struct dirent64 *entry, size_t length)
{
    out->ino = entry->d_ino;
    out->off = (uint64_t)entry->d_off;
    out->namelen = (uint32_t)length;
    out->type = entry->d_type;
    memcpy(out->name, entry->d_name, length);
}

/* What READDIRPLUS says of an entry; nothing (an id of 0) for "." and "..", for what is gone by
 * now, and when there are too few descriptors left to hold all that is only listed. */
static void look_up_entry(struct fs_session *session, const struct fs_inode *directory,
                          const char *name, struct fuse_entry_out *out)
{
    struct fs_inode *inode;
    struct stat status;
    memset(out, 0, sizeof *out);
    if (!strcmp(name, ".") || !strcmp(name, "..") || fs_inode_is_scarce(session) ||
        fs_inode_look_up(session, directory, name, &inode, &status) < 0)
        return;
    fs_fill_entry(session, directory, inode, &status, out);
}

/* Adds an entry to the answer; false if there is no room for it. */
static bool add_entry(struct fs_session *session, struct fs_request *request,
                      const struct fs_inode *directory, const struct dirent64 *entry, size_t limit,
                      bool plus)
{
    size_t length = strnlen(entry->d_name, NAME_MAX + 1);
    size_t start = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    size_t size = FUSE_DIRENT_ALIGN(start + length);
    uint8_t *at = request->answer + request->answer_size;
    if (size > limit - request->answer_size)
        return false;
    memset(at, 0, size);
    if (plus) {
        struct fuse_direntplus *out = (struct fuse_direntplus *)(void *)at;
        look_up_entry(session, directory, entry->d_name, &out->entry_out);
        fill_entry(&out->dirent, entry, length);
    } else {
        fill_entry((struct fuse_dirent *)(void *)at, entry, length);
    }
    request->answer_size += size;
    return true;
}

static int list(struct fs_session *session, struct fs_request *request, bool plus)
{
    const struct fuse_read_in *in = fs_request_take(request, sizeof *in);
    const struct fs_inode *directory = fs_inode_find(session, request->header.nodeid);
    _Alignas(struct dirent64) char entries[ENTRIES_SIZE];
    if (!in || in->offset > INT64_MAX)
        return -EINVAL;
    if (!directory)
        return -ESTALE;
    int fd = fs_handle_find(session, in->fh, true);
    if (fd < 0)
        return -EBADF;
    if (lseek(fd, (off_t)in->offset, SEEK_SET) < 0)
        return -errno;
    size_t limit = in->size < request->room ? in->size : request->room;
    /* About as many as fit; those that don't are read again. */
    size_t wanted = limit < 512 ? 512 : limit < sizeof entries ? limit : sizeof entries;
    ssize_t size = syscall(SYS_getdents64, fd, entries, wanted);
    if (size < 0)
        return -errno;
    for (ssize_t at = 0; at < size;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
        if (!add_entry(session, request, directory, entry, limit, plus))
            break;
        at += entry->d_reclen;
    }
    return size > 0 && request->answer_size == 0 ? -EINVAL : 0;
}

int fs_readdir(struct fs_session *session, struct fs_request *request)
{
    return list(session, request, false);
}

int fs_readdirplus(struct fs_session *session, struct fs_request *request)
{
    return list(session, request, true);
}
