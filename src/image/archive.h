/* Directory trees out of and into tar archives: what unpacks layers, and what export, cp, commit
 * and import are made of.
 *
 * Extraction believes nothing: every parent directory is resolved inside of the root given
 * (openat2, RESOLVE_IN_ROOT), and everything else happens on that descriptor with the last
 * component's name, which is never followed. */
#ifndef HULL_IMAGE_ARCHIVE_H
#define HULL_IMAGE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/warning.h"
#include "image/image.h"

/* Gives the next piece of a plain tar: its bytes, which stay until the next call, their number, 0
 * at the end, -1 with the error. */
typedef ssize_t archive_next(void *context, const void **bytes, struct error *err);
/* Takes a piece of a tar: 0, or -1 with the error. */
typedef int archive_take(void *context, const void *bytes, size_t count, struct error *err);

struct archive_extract_options {
    bool layer;       /* whiteouts become overlayfs', overlayfs' own attributes are refused */
    bool user_xattrs; /* opaque directories are marked by user.overlay.opaque */
    bool owners;      /* give files to whom the archive says; else they are the caller's */
    bool fixed_owner; /* … or all to uid and gid */
    uint32_t uid, gid;
    const char *rename_from, *rename_to; /* another name for the first component, or NULL */
    bool keep_types; /* an error where a directory would replace a file or the other way round */
    struct image_limits limits;
    const struct warnings *warnings;
};

struct archive_extract_result {
    int64_t bytes; /* of files' contents */
    int64_t entries;
    int64_t names;   /* in all directories; -1 if whole directories were replaced on the way */
    char **implicit; /* directories that were made without the archive describing them */
    size_t implicit_count;
};
void archive_extract_result_release(struct archive_extract_result *result);

/* Extracts below the directory root. What stands in the way is replaced, but directories are kept
 * for directories. result may be NULL; release it whatever this returns. Changes the umask of the
 * calling thread's process while it runs, unless the thread has an own (unshare CLONE_FS). */
int archive_extract(int root, archive_next *next, void *context,
                    const struct archive_extract_options *options,
                    struct archive_extract_result *result, struct error *err);
/* The same from a descriptor; plain, gzip or zstd. */
int archive_extract_file(int root, int fd, const struct archive_extract_options *options,
                         struct archive_extract_result *result, struct error *err);

struct archive_tree_options {
    bool layer;         /* the tree is an overlay's upper directory: whiteouts become tar's */
    bool root_owned;    /* all is written as root's, whosever it is here */
    const char *prefix; /* in front of each name, with its slash; NULL: "" */
    const char *rename; /* the last component of path under another name; NULL: as it is */
    const struct warnings *warnings; /* sockets are told to these, and left out */
};
/* Writes the tree at path below the directory root ("" or ".": all of root, without an entry of its
 * own name but "./") as pax archive, in the order of names: the same tree gives the same bytes.
 * Resolves path inside of root; its last component isn't followed. */
int archive_write_tree(int root, const char *path, const struct archive_tree_options *options,
                       archive_take *take, void *context, struct error *err);
/* An archive_take for a descriptor: context is an int *. */
int archive_take_file(void *context, const void *bytes, size_t count, struct error *err);

#endif
