/* Between the files of src/volume. */
#ifndef HULL_VOLUME_VOLUME_INTERNAL_H
#define HULL_VOLUME_VOLUME_INTERNAL_H

#include "volume/volume.h"

/* Opens ROOT/volumes/NAME, which is made if it is missing, with its _data. Returns the descriptor
 * of the former, or -1. */
int volume_open_directory(const struct volume_store *store, const char *name, struct error *err);

/* Opens NAME/lock and locks it, waiting; closing the descriptor releases it. */
int volume_lock(int directory, const char *name, struct error *err);

/* Copies the contents of directory from into directory to: files with their holes, directories,
 * links with hard links kept, nodes; owners, modes, times and extended attributes. */
int volume_copy_tree(int from, int to, struct error *err);
/* Gives to the owner, mode, times and attributes of from; both are directories. */
int volume_copy_attributes(int from, int to, struct error *err);

/* Removes directory/name with all below it; content if there is nothing. Doesn't follow links and
 * doesn't cross mounts. */
int volume_remove_tree(int directory, const char *name, struct error *err);

#endif
