/* Files: whole reads and writes, and paths that can't leave their root. */
#ifndef HULL_BASE_FILE_H
#define HULL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads a whole file of at most limit bytes, ends it with a NUL that *length doesn't count, and
 * returns it (the caller frees), or NULL. directory as in openat(2). length may be NULL. */
char *file_read_all(int directory, const char *path, size_t limit, size_t *length,
                    struct error *err);
/* The same from an open descriptor, from its present position on; name is for the error. */
char *file_read_all_fd(int fd, const char *name, size_t limit, size_t *length, struct error *err);

/* Writes all bytes, going on after short writes and EINTR. */
int file_write_all(int fd, const void *bytes, size_t count);

/* Opens the existing file (no O_CREAT) and writes text in one write(2), as the files of
 * cgroupfs and procfs want it. */
int file_write_text(int directory, const char *path, const char *text, struct error *err);

/* Makes the directory and those above it that are missing, with the mode (less the umask). */
int file_make_directories(const char *path, mode_t mode, struct error *err);

/* flock(2), which is gone on with after EINTR. 0, or -1 with errno: EWOULDBLOCK if operation has
 * LOCK_NB and another open file is locked. */
int file_lock(int fd, int operation);

/* "." or "..", which readdir(3) gives too. */
bool file_is_dots(const char *name);

/* Opens path below directory with openat2(2) and the RESOLVE_* flags given; O_CLOEXEC is added.
 * Returns the descriptor or -1 with errno set. */
int file_open_resolved(int directory, const char *path, uint64_t flags, uint64_t mode,
                       uint64_t resolve);

/* Undoes, in place, the \040 for a space and the like of /proc/self/mountinfo. */
void file_unescape_mount(char *text);

/* Closes all descriptors from first on but those of kept, an array of count descriptors, of which
 * some may be -1. */
int file_close_others(int first, const int *kept, size_t count, struct error *err);

#endif
