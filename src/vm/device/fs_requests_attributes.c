/* Requests about files' attributes, extended ones, and about the file system. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/scope.h"
#include "vm/device/fs_session.h"

static int answer_attributes(struct fs_session *session, struct fs_request *request,
                             const struct fs_inode *inode)
{
    struct stat status;
    struct fuse_attr_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    if (fstatat(inode->fd, "", &status, AT_EMPTY_PATH) < 0)
        return -errno;
    out->attr_valid = fs_cache_seconds(session);
    fs_fill_attributes(&status, &out->attr);
    return 0;
}

int fs_getattr(struct fs_session *session, struct fs_request *request)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    return inode ? answer_attributes(session, request, inode) : -ESTALE;
}

static int set_size(struct fs_session *session, const struct fs_inode *inode,
                    const struct fuse_setattr_in *in)
{
    scope_close int opened = -1;
    int fd = in->valid & FATTR_FH ? fs_handle_find(session, in->fh, false) : -1;
    if (!S_ISREG(inode->type))
        return S_ISDIR(inode->type) ? -EISDIR : -EINVAL;
    if (in->size > INT64_MAX)
        return -EFBIG;
    if (in->valid & FATTR_FH && fd < 0)
        return -EBADF;
    if (fd < 0) {
        opened = fs_inode_open(session, inode, O_WRONLY);
        if (opened < 0)
            return opened;
        fd = opened;
    }
    return ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
}

static struct timespec choose_time(const struct fuse_setattr_in *in, uint32_t given, uint32_t now,
                                   uint64_t seconds, uint32_t nanoseconds)
{
    if (in->valid & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    if (in->valid & given)
        return (struct timespec){(time_t)seconds, (long)nanoseconds};
    return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(const struct fs_inode *inode, const struct fuse_setattr_in *in)
{
    struct timespec times[2] = {
        choose_time(in, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
        choose_time(in, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
        return 0;
    return utimensat(inode->fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The mode comes after the owner, whose change takes set-user-id bits away. */
int fs_setattr(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_setattr_in *in = fs_request_take(request, sizeof *in);
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    char number[16];
    int status;
    if (!in)
        return -EINVAL;
    if (!inode)
        return -ESTALE;
    if (in->valid & (FATTR_UID | FATTR_GID)) {
        uid_t user = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
        gid_t group = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
        if (fchownat(inode->fd, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    }
    if (in->valid & FATTR_MODE) {
        snprintf(number, sizeof number, "%d", inode->fd);
        if (S_ISLNK(inode->type))
            return -EOPNOTSUPP;
        if (fchmodat(session->proc, number, in->mode & 07777, 0) < 0)
            return -errno;
    }
    if (in->valid & FATTR_SIZE) {
        status = set_size(session, inode, in);
        if (status < 0)
            return status;
    }
    status = set_times(inode, in);
    return status < 0 ? status : answer_attributes(session, request, inode);
}

int fs_statfs(struct fs_session *session, struct fs_request *request)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    struct statfs found;
    struct fuse_statfs_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    if (!inode)
        return -ESTALE;
    if (fstatfs(inode->fd, &found) < 0)
        return -errno;
    out->st = (struct fuse_kstatfs){.blocks = found.f_blocks,
                                    .bfree = found.f_bfree,
                                    .bavail = found.f_bavail,
                                    .files = found.f_files,
                                    .ffree = found.f_ffree,
                                    .bsize = (uint32_t)found.f_bsize,
                                    .namelen = (uint32_t)found.f_namelen,
                                    .frsize = (uint32_t)found.f_frsize};
    return 0;
}

/* By the mode, as the guest's kernel decides by itself; so it doesn't ask. */
int fs_access(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_access_in *in = fs_request_take(request, sizeof *in);
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    struct stat status;
    if (!in)
        return -EINVAL;
    if (!inode)
        return -ESTALE;
    if (fstatat(inode->fd, "", &status, AT_EMPTY_PATH) < 0)
        return -errno;
    unsigned wanted = in->mask & 7;
    unsigned granted = request->header.uid == status.st_uid   ? status.st_mode >> 6
                       : request->header.gid == status.st_gid ? status.st_mode >> 3
                                                              : status.st_mode;
    if (request->header.uid == 0)
        granted = 6 | (S_ISDIR(status.st_mode) || (status.st_mode & 0111) ? 1 : 0);
    return (wanted & ~granted) ? -EACCES : 0;
}

/* Extended attributes are reached through /proc: an O_PATH descriptor doesn't do, and some files
 * must not be opened. The link there leads to the file itself, also where that is a link. */
static int reach(struct fs_session *session, struct fs_request *request, char *number, size_t size)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    if (!inode)
        return -ESTALE;
    snprintf(number, size, "%d", inode->fd);
    return fchdir(session->proc) < 0 ? -errno : 0;
}

static int take_attribute_name(struct fs_request *request, const char **name)
{
    *name = fs_request_string(request);
    if (!*name || !**name)
        return -EINVAL;
    return strlen(*name) > XATTR_NAME_MAX ? -ERANGE : 0;
}

int fs_setxattr(struct fs_session *session, struct fs_request *request)
{
    /* FUSE_SETXATTR_EXT isn't negotiated: the first two fields. */
    const uint32_t *in = fs_request_take(request, FUSE_COMPAT_SETXATTR_IN_SIZE);
    const char *name;
    char number[16];
    if (!in)
        return -EINVAL;
    int status = take_attribute_name(request, &name);
    if (status < 0)
        return status;
    if (in[0] > request->size || in[0] > XATTR_SIZE_MAX)
        return -EINVAL;
    status = reach(session, request, number, sizeof number);
    if (status < 0)
        return status;
    return setxattr(number, name, request->bytes, in[0], (int)in[1]) < 0 ? -errno : 0;
}

/* A size of 0 asks how much there is. */
static int answer_bytes(struct fs_request *request, uint32_t wanted, ssize_t size)
{
    if (size < 0)
        return -errno;
    if (wanted > 0 && (size_t)size > request->room)
        return -ERANGE;
    if (wanted > 0) {
        request->answer_size = (size_t)size;
        return 0;
    }
    struct fuse_getxattr_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    out->size = (uint32_t)size;
    return 0;
}

static size_t limit(const struct fs_request *request, uint32_t wanted)
{
    return wanted < request->room ? wanted : request->room;
}

int fs_getxattr(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_getxattr_in *in = fs_request_take(request, sizeof *in);
    const char *name;
    char number[16];
    if (!in)
        return -EINVAL;
    int status = take_attribute_name(request, &name);
    if (status == 0)
        status = reach(session, request, number, sizeof number);
    if (status < 0)
        return status;
    return answer_bytes(request, in->size,
                        getxattr(number, name, request->answer, limit(request, in->size)));
}

int fs_listxattr(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_getxattr_in *in = fs_request_take(request, sizeof *in);
    char number[16];
    if (!in)
        return -EINVAL;
    int status = reach(session, request, number, sizeof number);
    if (status < 0)
        return status;
    return answer_bytes(request, in->size,
                        listxattr(number, (char *)request->answer, limit(request, in->size)));
}

int fs_removexattr(struct fs_session *session, struct fs_request *request)
{
    const char *name;
    char number[16];
    int status = take_attribute_name(request, &name);
    if (status == 0)
        status = reach(session, request, number, sizeof number);
    if (status < 0)
        return status;
    return removexattr(number, name) < 0 ? -errno : 0;
}
