/* Requests about open files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/scope.h"
#include "vm/device/fs_session.h"

#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_SYNC | O_DSYNC | O_TRUNC)

int fs_open(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_open_in *in = fs_request_take(request, sizeof *in);
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    struct fuse_open_out *out = fs_request_answer(request, sizeof *out);
    if (!in || !out)
        return -EINVAL;
    if (!inode)
        return -ESTALE;
    if (S_ISDIR(inode->type))
        return -EISDIR;
    int fd = fs_inode_open(session, inode, (int)in->flags & OPEN_FLAGS);
    if (fd < 0)
        return fd;
    out->open_flags = fs_cache_open_flags(session, false);
    return fs_handle_add(session, fd, false, &out->fh);
}

int fs_release(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_release_in *in = fs_request_take(request, sizeof *in);
    return in ? fs_handle_close(session, in->fh, false) : -EINVAL;
}

/* Straight into the guest's buffers, behind the answer's header. */
int fs_read(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_read_in *in = fs_request_take(request, sizeof *in);
    const struct virtqueue_chain *chain = request->chain;
    struct iovec parts[VIRTQUEUE_PARTS_MAX];
    if (!in || in->offset > INT64_MAX)
        return -EINVAL;
    int fd = fs_handle_find(session, in->fh, false);
    if (fd < 0)
        return -EBADF;
    unsigned count = fs_request_parts(chain->writable, chain->writable_count,
                                      sizeof(struct fuse_out_header), in->size, parts);
    ssize_t done = preadv(fd, parts, (int)count, (off_t)in->offset);
    if (done < 0)
        return -errno;
    request->direct = (uint64_t)done;
    return 0;
}

int fs_write(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_write_in *in = fs_request_take(request, sizeof *in);
    const struct virtqueue_chain *chain = request->chain;
    const uint64_t start = sizeof request->header + sizeof *in;
    struct iovec parts[VIRTQUEUE_PARTS_MAX];
    struct fuse_write_out *out = fs_request_answer(request, sizeof *out);
    if (!in || !out || in->offset > INT64_MAX || chain->readable_size - start < in->size)
        return -EINVAL;
    int fd = fs_handle_find(session, in->fh, false);
    if (fd < 0)
        return -EBADF;
    unsigned count =
        fs_request_parts(chain->readable, chain->readable_count, start, in->size, parts);
    ssize_t done = pwritev(fd, parts, (int)count, (off_t)in->offset);
    if (done < 0)
        return -errno;
    out->size = (uint32_t)done;
    return 0;
}

static int sync_handle(struct fs_session *session, struct fs_request *request, bool is_directory)
{
    const struct fuse_fsync_in *in = fs_request_take(request, sizeof *in);
    int fd = in ? fs_handle_find(session, in->fh, is_directory) : -1;
    if (fd < 0)
        return in ? -EBADF : -EINVAL;
    int status = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(fd) : fsync(fd);
    return status < 0 ? -errno : 0;
}

int fs_fsync(struct fs_session *session, struct fs_request *request)
{
    return sync_handle(session, request, false);
}

int fs_fsyncdir(struct fs_session *session, struct fs_request *request)
{
    return sync_handle(session, request, true);
}

/* A descriptor of the guest's is closed; other file systems tell late errors then. */
int fs_flush(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_flush_in *in = fs_request_take(request, sizeof *in);
    int fd = in ? fs_handle_find(session, in->fh, false) : -1;
    if (fd < 0)
        return in ? -EBADF : -EINVAL;
    int twin = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return twin < 0 || close(twin) < 0 ? -errno : 0;
}

int fs_fallocate(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_fallocate_in *in = fs_request_take(request, sizeof *in);
    int fd = in ? fs_handle_find(session, in->fh, false) : -1;
    if (!in || in->offset > INT64_MAX || in->length > INT64_MAX)
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    return fallocate(fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

/* For data and holes; all other seeking is the guest's own affair. */
int fs_lseek(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_lseek_in *in = fs_request_take(request, sizeof *in);
    struct fuse_lseek_out *out = fs_request_answer(request, sizeof *out);
    int fd = in ? fs_handle_find(session, in->fh, false) : -1;
    if (!in || !out || in->offset > INT64_MAX ||
        (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    off_t found = lseek(fd, (off_t)in->offset, (int)in->whence);
    if (found < 0)
        return -errno;
    out->offset = (uint64_t)found;
    return 0;
}

#define COPY_MAX (64u << 20) /* at once: others wait meanwhile */

int fs_copy_file_range(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_copy_file_range_in *in = fs_request_take(request, sizeof *in);
    struct fuse_write_out *out = fs_request_answer(request, sizeof *out);
    if (!in || !out || in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags)
        return -EINVAL;
    int from = fs_handle_find(session, in->fh_in, false);
    int to = fs_handle_find(session, in->fh_out, false);
    if (from < 0 || to < 0)
        return -EBADF;
    off_t from_offset = (off_t)in->off_in, to_offset = (off_t)in->off_out;
    size_t length = in->len < COPY_MAX ? in->len : COPY_MAX;
    ssize_t done = copy_file_range(from, &from_offset, to, &to_offset, length, 0);
    if (done < 0)
        return -errno;
    out->size = (uint32_t)done;
    return 0;
}

int fs_syncfs(struct fs_session *session, struct fs_request *request)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    if (!inode)
        return -ESTALE;
    scope_close int fd = fs_inode_open(session, inode, O_RDONLY);
    if (fd < 0)
        return fd;
    return syncfs(fd) < 0 ? -errno : 0;
}
