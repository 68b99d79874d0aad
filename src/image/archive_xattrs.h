/* Extended attributes of files on their way into an archive. Those that are overlayfs' own or say
 * what the host thinks of a file stay behind. */
#ifndef HULL_IMAGE_ARCHIVE_XATTRS_H
#define HULL_IMAGE_ARCHIVE_XATTRS_H

#include "image/archive_library.h"

/* Adds those of an open file to the entry; name is for errors. */
int archive_xattrs_add(const struct archive_library *library, struct archive_entry *entry, int fd,
                       const char *name, struct error *err);
/* Adds those of directory/name, which isn't followed; what can't be read is left out. */
void archive_xattrs_add_at(const struct archive_library *library, struct archive_entry *entry,
                           int directory, const char *name);

#endif
