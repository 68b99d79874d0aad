/* Requests about names in directories. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "vm/device/fs_session.h"

#define PERMISSIONS 07777

/* The server's capabilities stay (SECBIT_NO_SETUID_FIXUP): the guest's kernel has checked already
 * whether the user may. Without CAP_SETUID nothing happens, and all files are the server's user's.
 */
void fs_act_as(const struct fs_request *request)
{
    setfsgid(request->header.gid);
    setfsuid(request->header.uid);
}

void fs_act_as_self(void)
{
    setfsuid(geteuid());
    setfsgid(getegid());
}

static struct fs_inode *directory_of(struct fs_session *session, uint64_t id, int *status)
{
    struct fs_inode *directory = fs_inode_find(session, id);
    *status = !directory ? -ESTALE : S_ISDIR(directory->type) ? 0 : -ENOTDIR;
    return *status == 0 ? directory : NULL;
}

/* The directory that a request is about, and the name in it that comes next. */
static int take_place(struct fs_session *session, struct fs_request *request,
                      struct fs_inode **directory, const char **name)
{
    int status;
    *directory = directory_of(session, request->header.nodeid, &status);
    return status < 0 ? status : fs_request_name(request, name);
}

/* Answers with what is at a name. */
static int answer_entry(struct fs_session *session, struct fs_request *request,
                        const struct fs_inode *directory, const char *name)
{
    struct fs_inode *inode;
    struct stat found;
    struct fuse_entry_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    int status = fs_inode_look_up(session, directory, name, &inode, &found);
    if (status < 0)
        return status;
    fs_fill_entry(session, directory, inode, &found, out);
    return 0;
}

int fs_lookup(struct fs_session *session, struct fs_request *request)
{
    struct fs_inode *directory;
    const char *name;
    int status = take_place(session, request, &directory, &name);
    return status < 0 ? status : answer_entry(session, request, directory, name);
}

/* Ends what was begun with fs_act_as(), a call that makes something at a name and returned made. */
static int answer_made(struct fs_session *session, struct fs_request *request,
                       const struct fs_inode *directory, const char *name, int made)
{
    int status = made < 0 ? -errno : 0;
    fs_act_as_self();
    return status < 0 ? status : answer_entry(session, request, directory, name);
}

int fs_symlink(struct fs_session *session, struct fs_request *request)
{
    struct fs_inode *directory;
    const char *name, *target;
    int status = take_place(session, request, &directory, &name);
    if (status < 0)
        return status;
    target = fs_request_string(request);
    if (!target || !*target)
        return -EINVAL;
    fs_act_as(request);
    int made = symlinkat(target, directory->fd, name);
    return answer_made(session, request, directory, name, made);
}

int fs_mknod(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_mknod_in *in = fs_request_take(request, sizeof *in);
    struct fs_inode *directory;
    const char *name;
    int status = take_place(session, request, &directory, &name);
    if (!in)
        return -EINVAL;
    if (status < 0)
        return status;
    dev_t device =
        makedev((in->rdev >> 8) & 0xfff, (in->rdev & 0xff) | ((in->rdev >> 12) & 0xfff00));
    fs_act_as(request);
    int made = mknodat(directory->fd, name, in->mode & (S_IFMT | PERMISSIONS), device);
    return answer_made(session, request, directory, name, made);
}

int fs_mkdir(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_mkdir_in *in = fs_request_take(request, sizeof *in);
    struct fs_inode *directory;
    const char *name;
    int status = take_place(session, request, &directory, &name);
    if (!in)
        return -EINVAL;
    if (status < 0)
        return status;
    fs_act_as(request);
    int made = mkdirat(directory->fd, name, in->mode & PERMISSIONS);
    return answer_made(session, request, directory, name, made);
}

static int remove_name(struct fs_session *session, struct fs_request *request, int flags)
{
    struct fs_inode *directory;
    const char *name;
    int status = take_place(session, request, &directory, &name);
    if (status < 0)
        return status;
    return unlinkat(directory->fd, name, flags) < 0 ? -errno : 0;
}

int fs_unlink(struct fs_session *session, struct fs_request *request)
{
    return remove_name(session, request, 0);
}

int fs_rmdir(struct fs_session *session, struct fs_request *request)
{
    return remove_name(session, request, AT_REMOVEDIR);
}

static int rename_to(struct fs_session *session, struct fs_request *request, uint64_t target_id,
                     unsigned flags)
{
    struct fs_inode *from, *to;
    const char *old_name, *new_name;
    int status = take_place(session, request, &from, &old_name);
    if (status < 0)
        return status;
    to = directory_of(session, target_id, &status);
    if (!to)
        return status;
    status = fs_request_name(request, &new_name);
    if (status < 0)
        return status;
    /* Without a C library's name for it: not every one has it. */
    return syscall(SYS_renameat2, from->fd, old_name, to->fd, new_name, flags) < 0 ? -errno : 0;
}

int fs_rename(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_rename_in *in = fs_request_take(request, sizeof *in);
    return in ? rename_to(session, request, in->newdir, 0) : -EINVAL;
}

int fs_rename2(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_rename2_in *in = fs_request_take(request, sizeof *in);
    return in ? rename_to(session, request, in->newdir, in->flags) : -EINVAL;
}

/* Through /proc, whose links lead to the file itself, whatever became of its name. */
int fs_link(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_link_in *in = fs_request_take(request, sizeof *in);
    struct fs_inode *directory;
    const char *name;
    char number[16];
    int status = take_place(session, request, &directory, &name);
    if (!in)
        return -EINVAL;
    if (status < 0)
        return status;
    const struct fs_inode *inode = fs_inode_find(session, in->oldnodeid);
    if (!inode)
        return -ESTALE;
    snprintf(number, sizeof number, "%d", inode->fd);
    if (linkat(session->proc, number, directory->fd, name, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    return answer_entry(session, request, directory, name);
}

int fs_readlink(struct fs_session *session, struct fs_request *request)
{
    const struct fs_inode *inode = fs_inode_find(session, request->header.nodeid);
    size_t most = request->room < PATH_MAX ? request->room : PATH_MAX;
    if (!inode)
        return -ESTALE;
    if (!S_ISLNK(inode->type) || most == 0)
        return -EINVAL;
    ssize_t length = readlinkat(inode->fd, "", (char *)request->answer, most);
    if (length < 0)
        return -errno;
    request->answer_size = (size_t)length;
    return 0;
}

/* Answers with a file that is open: as an entry, and as a handle. */
static int answer_open(struct fs_session *session, struct fs_request *request,
                       const struct fs_inode *directory, int opened)
{
    scope_close int fd = opened;
    struct fs_inode *inode;
    struct stat found;
    char number[16];
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    snprintf(number, sizeof number, "%d", fd);
    int path = openat(session->proc, number, O_PATH | O_CLOEXEC);
    if (path < 0)
        return -errno;
    int status = fs_inode_add(session, path, &inode, &found);
    if (status < 0)
        return status;
    status = fs_handle_add(session, scope_take_fd(&fd), false, &out->open.fh);
    if (status < 0) {
        fs_inode_forget(session, fs_inode_id(session, inode), 1);
        return status;
    }
    fs_fill_entry(session, directory, inode, &found, &out->entry);
    out->open.open_flags = fs_cache_open_flags(session, false);
    return 0;
}

/* Opens a file that somebody else made meanwhile, if it is one that may be opened. */
static int open_existing(struct fs_session *session, const struct fs_inode *directory,
                         const char *name, int flags)
{
    struct fs_inode *inode;
    struct stat found;
    int status = fs_inode_look_up(session, directory, name, &inode, &found);
    if (status < 0)
        return status;
    int fd = S_ISDIR(inode->type) ? -EISDIR : fs_inode_open(session, inode, flags);
    fs_inode_forget(session, fs_inode_id(session, inode), 1);
    return fd;
}

#define CREATE_FLAGS (O_ACCMODE | O_APPEND | O_SYNC | O_DSYNC | O_TRUNC)

int fs_create(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_create_in *in = fs_request_take(request, sizeof *in);
    struct fs_inode *directory;
    const char *name;
    int status = take_place(session, request, &directory, &name);
    if (!in)
        return -EINVAL;
    if (status < 0)
        return status;
    int flags = (int)in->flags & CREATE_FLAGS;
    fs_act_as(request);
    int fd = file_open_resolved(
        directory->fd, name, (unsigned)flags | O_CREAT | O_EXCL | O_NONBLOCK | O_NOFOLLOW,
        in->mode & PERMISSIONS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    fd = fd < 0 ? -errno : fd;
    fs_act_as_self();
    if (fd == -EEXIST && !(in->flags & O_EXCL))
        fd = open_existing(session, directory, name, flags);
    return fd < 0 ? fd : answer_open(session, request, directory, fd);
}

int fs_tmpfile(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_create_in *in = fs_request_take(request, sizeof *in);
    int status;
    const struct fs_inode *directory = directory_of(session, request->header.nodeid, &status);
    if (!in)
        return -EINVAL;
    if (!directory)
        return status;
    fs_act_as(request);
    int fd = openat(directory->fd, ".",
                    ((int)in->flags & (CREATE_FLAGS | O_EXCL)) | O_TMPFILE | O_CLOEXEC,
                    in->mode & PERMISSIONS);
    fd = fd < 0 ? -errno : fd;
    fs_act_as_self();
    return fd < 0 ? fd : answer_open(session, request, directory, fd);
}
