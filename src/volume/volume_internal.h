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

/* Renames what is at ROOT/volumes/NAME to a name that no volume has, within the caller's
 * transaction. Returns a descriptor that says, as long as it is open, that somebody is removing it,
 * and the name in trash; or -1 with err->code ENOENT if there is nothing. */
#define VOLUME_TRASH_PREFIX ".removed-"
#define VOLUME_TRASH_SIZE 32
int volume_discard(const struct volume_store *store, const char *name,
                   char trash[VOLUME_TRASH_SIZE], struct error *err);

/* Removes what volume_discard() renamed and who did so, being killed, has not removed. */
int volume_sweep(const struct volume_store *store, long long *bytes, struct error *err);

/* As volume_remove(); *bytes may be NULL. */
int volume_remove_counting(struct volume_store *store, const char *name, bool force,
                           long long *bytes, struct error *err);

/* As error_set(), for a refusal that is no system call's failure but that callers know by its code:
 * the code's text isn't added. */
int volume_refuse(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether something is mounted at path. */
bool volume_is_mounted(int directory, const char *path);

/* The device as mount(8) takes it: docker's users write NFS as the kernel does, device=:/path with
 * the server's address in the options, addr=192.0.2.1, while mount.nfs(8) wants 192.0.2.1:/path.
 * options may be NULL. The caller frees. */
char *volume_mount_device(const char *type, const char *device, const char *options);

/* Mounts at path what the options name. */
int volume_run_mount(const char *name, const char *path, const json_t *options, struct error *err);

/* Notes that the container has it mounted no more, and unmounts it if nobody has. */
int volume_unmount_one(struct volume_store *store, const char *name, const char *container,
                       struct error *err);

/* 1: a volume of that name is recorded, 0: none, -1 */
int volume_is_recorded(struct volume_store *store, const char *name, struct error *err);

#endif
