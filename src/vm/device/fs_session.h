/* A FUSE session of a share (linux/fuse.h, protocol 7): requests of the guest's kernel, answered
 * from one directory. Knows of no virtqueue's rings and no process: a request comes as the parts of
 * a chain. Everything in it may be a lie. */
#ifndef HULL_VM_FS_SESSION_H
#define HULL_VM_FS_SESSION_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "vm/device/virtio_fs.h"
#include "vm/device/virtqueue.h"

/* The longest request but a WRITE's data, and the longest answer but a READ's data: an extended
 * attribute's 64 KiB with its name. */
#define FS_MESSAGE_MAX (72u << 10)
#define FS_PAGES_MAX 256 /* of one READ or WRITE */
#define FS_BUCKETS 65536u

/* A file that the guest's kernel knows of, held by an O_PATH descriptor, so that its number stays
 * its own. */
struct fs_inode {
    int fd;
    uint32_t generation; /* how often the slot was used before: an old id is no id */
    bool used;
    mode_t type; /* S_IFMT bits */
    dev_t device;
    ino_t number;
    uint64_t mount;   /* the id of the mount that it was found in */
    uint64_t lookups; /* how often the guest got it in an answer, less what it forgot */
    uint32_t next;    /* slot in the same bucket, or of the next free one; 0: none */
};

/* A file or directory that the guest opened. */
struct fs_handle {
    int fd;
    uint32_t generation;
    bool used, is_directory;
    uint32_t next;
};

struct fs_session {
    int root, proc; /* O_PATH descriptors of the directory and of /proc/self/fd; the caller's */
    enum virtio_fs_cache cache;
    bool greeted;   /* INIT was answered */
    bool submounts; /* the guest's kernel can tell mounts inside from the rest */

    struct fs_inode *inodes; /* slot 1 is the root; 0 is none */
    uint32_t inode_limit, inode_count, inode_end, inode_free;
    uint32_t *buckets; /* by device and number */
    struct fs_handle *handles;
    uint32_t handle_limit, handle_end, handle_free;

    uint64_t *request; /* a private copy, FS_MESSAGE_MAX bytes; the same for the answer */
    uint64_t *answer;
};

/* A request while it is handled. */
struct fs_request {
    struct fuse_in_header header;
    const uint8_t *bytes; /* arguments that are left, in private memory */
    size_t size;
    struct virtqueue_chain *chain;
    uint8_t *answer;    /* in private memory; what comes after the header */
    size_t answer_size; /* set by the handler */
    size_t room;        /* what the guest, and answer, have room for */
    uint64_t direct;    /* bytes that went straight into the guest's buffers */
};

/* descriptors: how many files the session may hold open. */
struct fs_session *fs_session_create(int root, int proc, enum virtio_fs_cache cache,
                                     unsigned descriptors);
void fs_session_release(struct fs_session *session);
/* Forgets all that the guest knows. */
void fs_session_reset(struct fs_session *session);
/* Handles a request; returns how many bytes of an answer were written to the chain. */
uint32_t fs_session_serve(struct fs_session *session, struct virtqueue_chain *chain);

/* --- What the session's files share. Handlers return 0 or a negative errno value. --- */

/* The next size bytes of arguments, aligned, or NULL if there are fewer. */
const void *fs_request_take(struct fs_request *request, size_t size);
/* The next string; NULL if it doesn't end within the request. */
const char *fs_request_string(struct fs_request *request);
/* The next string as the name of a directory's entry: 0, or what is wrong with it. */
int fs_request_name(struct fs_request *request, const char **name);
/* Room for an answer of size zeroed bytes, or NULL if there is less. */
void *fs_request_answer(struct fs_request *request, size_t size);
/* Parts from offset on, at most size bytes of them; returns their number. */
unsigned fs_request_parts(const struct iovec *parts, unsigned count, uint64_t offset, uint64_t size,
                          struct iovec *result);

/* The inode of an id, or NULL. Stays where it is until it is forgotten. */
struct fs_inode *fs_inode_find(struct fs_session *session, uint64_t id);
uint64_t fs_inode_id(const struct fs_session *session, const struct fs_inode *inode);
/* The inode behind an O_PATH descriptor, which is taken over; counts a lookup. status is filled. */
int fs_inode_add(struct fs_session *session, int fd, struct fs_inode **inode, struct stat *status);
void fs_inode_forget(struct fs_session *session, uint64_t id, uint64_t lookups);
/* Looks name up without following links. */
int fs_inode_look_up(struct fs_session *session, const struct fs_inode *directory, const char *name,
                     struct fs_inode **inode, struct stat *status);
/* Opens the file itself, if it is a file or directory: never a device, pipe or link. The descriptor
 * or a negative errno value. */
int fs_inode_open(const struct fs_session *session, const struct fs_inode *inode, int flags);
/* Whether few descriptors are left. */
bool fs_inode_is_scarce(const struct fs_session *session);

/* An id for an open file, which is taken over. */
int fs_handle_add(struct fs_session *session, int fd, bool is_directory, uint64_t *id);
/* The descriptor of an id, or -1. */
int fs_handle_find(const struct fs_session *session, uint64_t id, bool is_directory);
int fs_handle_close(struct fs_session *session, uint64_t id, bool is_directory);

void fs_fill_attributes(const struct stat *status, struct fuse_attr *attributes);
void fs_fill_entry(const struct fs_session *session, const struct fs_inode *directory,
                   const struct fs_inode *inode, const struct stat *status,
                   struct fuse_entry_out *entry);
/* How long the guest may believe what it is told, in seconds. */
uint64_t fs_cache_seconds(const struct fs_session *session);
/* FOPEN_ flags of the policy. */
uint32_t fs_cache_open_flags(const struct fs_session *session, bool is_directory);

/* Acts as the guest's user between the two: what is made is the user's. */
void fs_act_as(const struct fs_request *request);
void fs_act_as_self(void);

typedef int fs_handler(struct fs_session *session, struct fs_request *request);
fs_handler fs_lookup, fs_symlink, fs_mknod, fs_mkdir, fs_unlink, fs_rmdir, fs_rename, fs_rename2,
    fs_link, fs_readlink, fs_create, fs_tmpfile;
fs_handler fs_getattr, fs_setattr, fs_statfs, fs_access, fs_setxattr, fs_getxattr, fs_listxattr,
    fs_removexattr;
fs_handler fs_open, fs_read, fs_write, fs_release, fs_fsync, fs_flush, fs_fallocate, fs_lseek,
    fs_copy_file_range, fs_syncfs;
fs_handler fs_opendir, fs_readdir, fs_readdirplus, fs_releasedir, fs_fsyncdir;

#endif
