/* The inside of archive_extract(). */
#ifndef HULL_IMAGE_EXTRACT_H
#define HULL_IMAGE_EXTRACT_H

#include <limits.h>
#include <sys/stat.h>

#include "image/archive.h"
#include "image/archive_library.h"

struct extract_directory {
    char *path;
    size_t serial;
    mode_t mode;
    uint32_t uid, gid;
    struct timespec time;
};

struct extraction {
    const struct archive_library *library;
    struct archive *archive;
    const struct archive_extract_options *options;
    struct archive_extract_result *result;
    int root;
    /* The directory that the last entry was in: most of the next ones are in it, too. */
    char parent_path[PATH_MAX];
    int parent;
    bool parent_known, parent_stale;
    /* Directories get their attributes when everything is in them. */
    struct extract_directory *directories;
    size_t directory_count, directory_room, directory_bytes;
    int64_t most_bytes, most_entries;
    unsigned int warned; /* bits: what was said already */
    /* The archive's callbacks. */
    archive_next *next;
    void *context;
    struct error *err; /* of the callback; *err->text is "" until it fails */
};

enum extract_warning { EXTRACT_WARN_DEVICE = 1, EXTRACT_WARN_XATTR = 2, EXTRACT_WARN_OWNER = 4 };

/* A path of the archive without leading slashes, "." and ".."; "" is the root. Refuses what leads
 * out of it, and what is too long. */
int extract_clean_path(const char *name, char path[PATH_MAX], struct error *err);
/* The descriptor (O_PATH, borrowed) of the directory that path is in, made if it is missing; *name
 * is path's last component. */
int extract_open_parent(struct extraction *extraction, const char *path, const char **name,
                        struct error *err);
void extract_forget_parent(struct extraction *extraction);
/* Keeps count of the names in the tree. */
void extract_count_name(struct extraction *extraction, int change);

/* Removes what is in the way of an entry. 1: it was a whiteout of this layer. */
int extract_clear_place(struct extraction *extraction, int parent, const char *name,
                        bool for_directory, struct error *err);
bool extract_is_whiteout(const struct extraction *extraction, const struct stat *status);
/* Marks a directory as opaque: nothing of lower layers is in it. */
int extract_set_opaque(struct extraction *extraction, int parent, const char *name,
                       struct error *err);

/* Owner, mode, extended attributes, time of a file that is open (fd), or that is at name. */
int extract_set_file_attributes(struct extraction *extraction, struct archive_entry *entry, int fd,
                                mode_t created_mode, struct error *err);
int extract_set_place_attributes(struct extraction *extraction, struct archive_entry *entry,
                                 int parent, const char *name, struct error *err);
int extract_set_xattrs(struct extraction *extraction, struct archive_entry *entry, int fd,
                       int parent, const char *name, struct error *err);
/* Notes a directory's attributes; and sets those of all, which leaves in result->implicit only what
 * was never described. */
int extract_defer_directory(struct extraction *extraction, struct archive_entry *entry,
                            const char *path, struct error *err);
int extract_set_directories(struct extraction *extraction, struct error *err);

void extract_warn(struct extraction *extraction, enum extract_warning kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
