/* libarchive, loaded when an archive is first read or written: it brings a dozen libraries with it,
 * and linking them would cost every start of the program. */
#ifndef HULL_IMAGE_ARCHIVE_LIBRARY_H
#define HULL_IMAGE_ARCHIVE_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>

#include "base/error.h"

/* The functions that hull calls, under libarchive's names. */
#define ARCHIVE_LIBRARY_FUNCTIONS(f)                                                               \
    f(archive_read_new) f(archive_read_free) f(archive_read_support_format_tar) f(                 \
        archive_read_support_format_empty) f(archive_read_open) f(archive_read_next_header)        \
        f(archive_read_data_block) f(archive_read_data_skip) f(archive_errno) f(                   \
            archive_error_string) f(archive_set_error) f(archive_write_new) f(archive_write_free)  \
            f(archive_write_close) f(archive_write_fail) f(archive_write_set_format_pax) f(        \
                archive_write_set_format_option) f(archive_write_set_bytes_per_block)              \
                f(archive_write_set_bytes_in_last_block) f(archive_write_open) f(                  \
                    archive_write_header) f(archive_write_data) f(archive_write_finish_entry)      \
                    f(archive_entry_new) f(archive_entry_free) f(archive_entry_clear) f(           \
                        archive_entry_pathname) f(archive_entry_hardlink) f(archive_entry_symlink) \
                        f(archive_entry_filetype) f(archive_entry_perm) f(archive_entry_size)      \
                            f(archive_entry_uid) f(archive_entry_gid) f(archive_entry_mtime) f(    \
                                archive_entry_mtime_nsec) f(archive_entry_mtime_is_set)            \
                                f(archive_entry_rdevmajor) f(archive_entry_rdevminor) f(           \
                                    archive_entry_xattr_reset) f(archive_entry_xattr_next)         \
                                    f(archive_entry_set_pathname) f(archive_entry_set_hardlink) f( \
                                        archive_entry_set_symlink) f(archive_entry_set_filetype)   \
                                        f(archive_entry_set_perm) f(archive_entry_set_size) f(     \
                                            archive_entry_set_uid) f(archive_entry_set_gid)        \
                                            f(archive_entry_set_mtime) f(                          \
                                                archive_entry_set_rdevmajor)                       \
                                                f(archive_entry_set_rdevminor) f(                  \
                                                    archive_entry_xattr_add_entry)                 \
                                                    f(archive_entry_sparse_add_entry) f(           \
                                                        archive_read_support_format_raw)           \
                                                        f(archive_read_support_filter_gzip) f(     \
                                                            archive_read_support_filter_lz4)       \
                                                            f(archive_read_support_filter_xz) f(   \
                                                                archive_read_support_filter_zstd)

struct archive_library {
#define ARCHIVE_LIBRARY_DECLARE(name) __typeof__(&name) name;
    ARCHIVE_LIBRARY_FUNCTIONS(ARCHIVE_LIBRARY_DECLARE)
#undef ARCHIVE_LIBRARY_DECLARE
};

/* Loads it the first time; it stays. NULL with an error that names the package to install. */
const struct archive_library *archive_library_load(struct error *err);

#endif
