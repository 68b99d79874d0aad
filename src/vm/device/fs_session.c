/* Requests are copied to private memory before anything in them is looked at; only file contents go
 * between the guest's buffers and the kernel directly. An answer that doesn't fit what the guest
 * left room for becomes an error. */
#include "vm/device/fs_session.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <linux/fuse.h>

#define MINOR_MIN 31 /* the first with virtio-fs */

static int initialize(struct fs_session *session, struct fs_request *request);
static int destroy(struct fs_session *session, struct fs_request *request);

static int forget(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_forget_in *in = fs_request_take(request, sizeof *in);
    if (in)
        fs_inode_forget(session, request->header.nodeid, in->nlookup);
    return 0;
}

static int batch_forget(struct fs_session *session, struct fs_request *request)
{
    const struct fuse_batch_forget_in *in = fs_request_take(request, sizeof *in);
    const struct fuse_forget_one *one;
    for (uint32_t i = 0; in && i < in->count; i++) {
        one = fs_request_take(request, sizeof *one);
        if (!one)
            break;
        fs_inode_forget(session, one->nodeid, one->nlookup);
    }
    return 0;
}

static int interrupt(struct fs_session *session, struct fs_request *request)
{
    (void)session, (void)request; /* what it is about was answered before this was looked at */
    return 0;
}

/* What comes after an opcode; handler NULL: not supported, which the guest's kernel does without.
 */
static const struct operation {
    fs_handler *handler;
    bool has_no_answer;
} operations[] = {
    [FUSE_LOOKUP] = {fs_lookup},
    [FUSE_FORGET] = {forget, true},
    [FUSE_GETATTR] = {fs_getattr},
    [FUSE_SETATTR] = {fs_setattr},
    [FUSE_READLINK] = {fs_readlink},
    [FUSE_SYMLINK] = {fs_symlink},
    [FUSE_MKNOD] = {fs_mknod},
    [FUSE_MKDIR] = {fs_mkdir},
    [FUSE_UNLINK] = {fs_unlink},
    [FUSE_RMDIR] = {fs_rmdir},
    [FUSE_RENAME] = {fs_rename},
    [FUSE_LINK] = {fs_link},
    [FUSE_OPEN] = {fs_open},
    [FUSE_READ] = {fs_read},
    [FUSE_WRITE] = {fs_write},
    [FUSE_STATFS] = {fs_statfs},
    [FUSE_RELEASE] = {fs_release},
    [FUSE_FSYNC] = {fs_fsync},
    [FUSE_SETXATTR] = {fs_setxattr},
    [FUSE_GETXATTR] = {fs_getxattr},
    [FUSE_LISTXATTR] = {fs_listxattr},
    [FUSE_REMOVEXATTR] = {fs_removexattr},
    [FUSE_FLUSH] = {fs_flush},
    [FUSE_INIT] = {initialize},
    [FUSE_OPENDIR] = {fs_opendir},
    [FUSE_READDIR] = {fs_readdir},
    [FUSE_RELEASEDIR] = {fs_releasedir},
    [FUSE_FSYNCDIR] = {fs_fsyncdir},
    [FUSE_ACCESS] = {fs_access},
    [FUSE_CREATE] = {fs_create},
    [FUSE_INTERRUPT] = {interrupt, true},
    [FUSE_DESTROY] = {destroy},
    [FUSE_BATCH_FORGET] = {batch_forget, true},
    [FUSE_FALLOCATE] = {fs_fallocate},
    [FUSE_READDIRPLUS] = {fs_readdirplus},
    [FUSE_RENAME2] = {fs_rename2},
    [FUSE_LSEEK] = {fs_lseek},
    [FUSE_COPY_FILE_RANGE] = {fs_copy_file_range},
    [FUSE_SYNCFS] = {fs_syncfs},
    [FUSE_TMPFILE] = {fs_tmpfile},
};

const void *fs_request_take(struct fs_request *request, size_t size)
{
    const void *taken = request->bytes;
    if (request->size < size)
        return NULL;
    request->bytes += size;
    request->size -= size;
    return taken;
}

const char *fs_request_string(struct fs_request *request)
{
    const char *text = (const char *)request->bytes;
    size_t length = strnlen(text, request->size);
    return length == request->size ? NULL : fs_request_take(request, length + 1);
}

int fs_request_name(struct fs_request *request, const char **name)
{
    *name = fs_request_string(request);
    if (!*name || !**name || strchr(*name, '/') || !strcmp(*name, ".") || !strcmp(*name, ".."))
        return -EINVAL;
    return strlen(*name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

void *fs_request_answer(struct fs_request *request, size_t size)
{
    if (size > request->room)
        return NULL;
    memset(request->answer, 0, size);
    request->answer_size = size;
    return request->answer;
}

unsigned fs_request_parts(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size,
                          struct iovec *result)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count && size > 0; i++) {
        uint64_t length = parts[i].iov_len;
        if (offset >= length) {
            offset -= length;
            continue;
        }
        length = length - offset < size ? length - offset : size;
        result[used++] = (struct iovec){(uint8_t *)parts[i].iov_base + offset, length};
        size -= length;
        offset = 0;
    }
    return used;
}

uint64_t fs_cache_seconds(const struct fs_session *session)
{
    return session->cache == VIRTIO_FS_CACHE_AUTO     ? 1
           : session->cache == VIRTIO_FS_CACHE_ALWAYS ? 86400
                                                      : 0;
}

uint32_t fs_cache_open_flags(const struct fs_session *session, bool is_directory)
{
    if (session->cache != VIRTIO_FS_CACHE_ALWAYS)
        return 0;
    return FOPEN_KEEP_CACHE | (is_directory ? FOPEN_CACHE_DIR : 0);
}

void fs_fill_attributes(const struct stat *status, struct fuse_attr *attributes)
{
    unsigned high = major(status->st_rdev), low = minor(status->st_rdev);
    *attributes = (struct fuse_attr){
        .ino = status->st_ino,
        .size = (uint64_t)status->st_size,
        .blocks = (uint64_t)status->st_blocks,
        .atime = (uint64_t)status->st_atim.tv_sec,
        .mtime = (uint64_t)status->st_mtim.tv_sec,
        .ctime = (uint64_t)status->st_ctim.tv_sec,
        .atimensec = (uint32_t)status->st_atim.tv_nsec,
        .mtimensec = (uint32_t)status->st_mtim.tv_nsec,
        .ctimensec = (uint32_t)status->st_ctim.tv_nsec,
        .mode = status->st_mode,
        .nlink = (uint32_t)status->st_nlink,
        .uid = status->st_uid,
        .gid = status->st_gid,
        /* The kernel's encoding of device numbers between it and programs. */
        .rdev = (low & 0xff) | (high & 0xfff) << 8 | (low & 0xfff00) << 12,
        .blksize = (uint32_t)status->st_blksize,
    };
}

void fs_fill_entry(const struct fs_session *session, const struct fs_inode *directory,
                   const struct fs_inode *inode, const struct stat *status,
                   struct fuse_entry_out *entry)
{
    *entry = (struct fuse_entry_out){.nodeid = fs_inode_id(session, inode),
                                     .entry_valid = fs_cache_seconds(session),
                                     .attr_valid = fs_cache_seconds(session)};
    fs_fill_attributes(status, &entry->attr);
    if (session->submounts && S_ISDIR(inode->type) && directory->device != inode->device)
        entry->attr.flags |= FUSE_ATTR_SUBMOUNT;
}

static int initialize(struct fs_session *session, struct fs_request *request)
{
    const uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                            FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS |
                            FUSE_MAX_PAGES | FUSE_SUBMOUNTS | FUSE_AUTO_INVAL_DATA |
                            FUSE_CACHE_SYMLINKS;
    uint32_t sizes[4]; /* major, minor, read-ahead, flags; later kernels say more */
    const uint32_t *in = fs_request_take(request, sizeof sizes);
    if (!in)
        return -EINVAL;
    if (in[0] < FUSE_KERNEL_VERSION || (in[0] == FUSE_KERNEL_VERSION && in[1] < MINOR_MIN))
        return -EPROTO;
    memcpy(sizes, in, sizeof sizes);
    struct fuse_init_out *out = fs_request_answer(request, sizeof *out);
    if (!out)
        return -EINVAL;
    out->major = FUSE_KERNEL_VERSION;
    out->minor = FUSE_KERNEL_MINOR_VERSION;
    if (sizes[0] > FUSE_KERNEL_VERSION)
        return 0; /* it asks again, with our version */
    fs_session_reset(session);
    session->greeted = true;
    out->max_readahead = sizes[2];
    out->flags = sizes[3] & wanted;
    if (session->cache == VIRTIO_FS_CACHE_ALWAYS)
        out->flags &= ~(uint32_t)FUSE_AUTO_INVAL_DATA;
    else
        out->flags &= ~(uint32_t)FUSE_CACHE_SYMLINKS;
    session->submounts = out->flags & FUSE_SUBMOUNTS;
    out->max_background = 64;
    out->congestion_threshold = 48;
    out->max_write = FS_PAGES_MAX * 4096;
    out->max_pages = FS_PAGES_MAX;
    out->time_gran = 1;
    return 0;
}

static int destroy(struct fs_session *session, struct fs_request *request)
{
    (void)request;
    fs_session_reset(session);
    return 0;
}

/* A WRITE's data stays where it is; of all else there is a copy. */
static int copy_request(struct fs_session *session, struct fs_request *request)
{
    const struct virtqueue_chain *chain = request->chain;
    const size_t start = sizeof request->header;
    if (virtqueue_copy_from(chain->readable, chain->readable_count, 0, &request->header, start) <
        start) {
        request->header.unique = 0;
        return -EINVAL;
    }
    uint64_t left = chain->readable_size - start;
    if (request->header.opcode == FUSE_WRITE)
        left = left < sizeof(struct fuse_write_in) ? left : sizeof(struct fuse_write_in);
    if (left > FS_MESSAGE_MAX)
        return -E2BIG;
    request->bytes = (const uint8_t *)session->request;
    request->size =
        virtqueue_copy_from(chain->readable, chain->readable_count, start, session->request, left);
    return 0;
}

static uint32_t reply(struct fs_request *request, int status)
{
    struct virtqueue_chain *chain = request->chain;
    struct fuse_out_header header = {.unique = request->header.unique};
    if (chain->writable_size < sizeof header)
        return 0;
    if (status < 0) {
        request->answer_size = 0;
        request->direct = 0;
        header.error = status;
    }
    header.len = (uint32_t)(sizeof header + request->answer_size + request->direct);
    virtqueue_copy_to(chain->writable, chain->writable_count, 0, &header, sizeof header);
    virtqueue_copy_to(chain->writable, chain->writable_count, sizeof header, request->answer,
                      request->answer_size);
    return header.len;
}

uint32_t fs_session_serve(struct fs_session *session, struct virtqueue_chain *chain)
{
    const uint64_t most = FS_MESSAGE_MAX;
    struct fs_request request = {.chain = chain, .answer = (uint8_t *)session->answer};
    int status = copy_request(session, &request);
    if (status < 0)
        return reply(&request, status);
    uint32_t opcode = request.header.opcode;
    const struct operation *operation =
        opcode < sizeof operations / sizeof *operations ? &operations[opcode] : NULL;
    if (!operation || !operation->handler)
        return reply(&request, -ENOSYS);
    if (chain->writable_size > sizeof(struct fuse_out_header)) {
        uint64_t room = chain->writable_size - sizeof(struct fuse_out_header);
        request.room = room < most ? room : most;
    }
    if (!session->greeted && opcode != FUSE_INIT && !operation->has_no_answer)
        status = -EIO;
    else
        status = operation->handler(session, &request);
    return operation->has_no_answer ? 0 : reply(&request, status);
}
