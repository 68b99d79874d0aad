/* Named volumes: directories ROOT/volumes/NAME/_data that outlive containers, described by rows of
 * the database.
 *
 * A volume's row is written before its directory is made, and a use of it (a container that mounts
 * it) before the container is; so what a killed process leaves is found by name. A directory is
 * removed by renaming it away first, in the transaction that deletes the row: no new volume of the
 * same name ever sees old data. It is made in a write transaction too, which sees the row: no
 * directory appears once the row is gone. ROOT/volumes/NAME/lock serialises what several containers
 * do to one volume: filling it from the image, mounting what its options name. */
#ifndef HULL_VOLUME_VOLUME_H
#define HULL_VOLUME_VOLUME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "database/database.h"

#define VOLUME_NAME_SIZE 256

struct volume_store {
    struct database *database; /* the caller's */
    char *root;                /* ROOT/volumes */
};

int volume_open(struct volume_store *store, struct database *database, const char *root,
                struct error *err);
void volume_close(struct volume_store *store);

/* What the user asks of a new volume. labels and options: objects of strings, or NULL. */
struct volume_request {
    const char *name;   /* NULL: an anonymous one, whose name is 64 hex digits */
    const char *driver; /* NULL or "local" */
    const json_t *labels;
    const json_t *options; /* "type", "device" and "o", as of mount(8) */
    const char *container; /* NULL, or who uses it: recorded together, as by volume_use() */
};

/* Makes a volume, or finds the one of that name; its name goes into name. One that exists with
 * other options is an error. */
int volume_create(struct volume_store *store, const struct volume_request *request,
                  char name[VOLUME_NAME_SIZE], struct error *err);

/* As `docker volume inspect` prints it; NULL with *err filled. By its whole name, or the only
 * beginning of an anonymous volume's. The caller drops the reference. */
json_t *volume_inspect(struct volume_store *store, const char *name, struct error *err);
/* An array of all of them by name, each as volume_inspect() has it, with the number of containers
 * that use it as "UseCount". */
json_t *volume_list(struct volume_store *store, struct error *err);

/* The bytes that the volume's files hold, each counted once; -1 where the volume's options name a
 * file system of its own, which isn't ours to measure. */
int volume_size(struct volume_store *store, const char *name, long long *bytes, struct error *err);

/* Removes a volume that no container uses. force: content if there is none. */
int volume_remove(struct volume_store *store, const char *name, bool force, struct error *err);
/* Removes those that no container uses: the anonymous ones, or all. accept: may be NULL; asked with
 * each volume's document. Returns an array of the names, and adds to *bytes what was freed; NULL on
 * error. */
json_t *volume_prune(struct volume_store *store, bool all,
                     bool (*accept)(const json_t *volume, void *argument), void *argument,
                     long long *bytes, struct error *err);

/* Uses */

/* Notes that a container mounts a volume (recorded before the container is made). */
int volume_use(struct volume_store *store, const char *name, const char *container,
               struct error *err);
/* Forgets the container's uses; with remove_anonymous removes the anonymous volumes that nobody
 * uses any more. Does nothing where there are none. */
int volume_release(struct volume_store *store, const char *container, bool remove_anonymous,
                   struct error *err);

/* The directory of a volume's data; the caller frees. */
char *volume_data_path(const struct volume_store *store, const char *name);

/* Whether volume_populate() would look for something to do: the volume is empty, or half filled by
 * who was killed. 1, 0, or -1. */
int volume_wants_content(struct volume_store *store, const char *name, struct error *err);

/* Fills a volume that is empty with what directory (of the image, a descriptor) holds: contents,
 * owners, modes, times, attributes, hard links; and gives it that directory's owner and mode. A
 * volume that is filled by one container at the time is waited for; what a killed process left
 * half done is done again. */
int volume_populate(struct volume_store *store, const char *name, int directory, struct error *err);

/* Mounts what the volume's options name (if they do) for a container that starts. Balanced by
 * volume_unmount(), which unmounts when no container that runs is left. */
int volume_mount(struct volume_store *store, const char *name, const char *container,
                 struct error *err);
int volume_unmount(struct volume_store *store, const char *container, struct error *err);

/* What is not as it should be, a line each, appended to the array: directories without a row that
 * nobody is removing, uses by containers that the callback doesn't know, mounts for nobody. With
 * repair set it is put right. A row without a directory is as it should be: who needs the directory
 * makes it. */
int volume_check(struct volume_store *store,
                 bool (*container_exists)(const char *container, void *argument), void *argument,
                 bool repair, json_t *findings, struct error *err);

#endif
