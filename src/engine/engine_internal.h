/* What the engine's parts share. */
#ifndef HULL_ENGINE_ENGINE_INTERNAL_H
#define HULL_ENGINE_ENGINE_INTERNAL_H

#include "engine/engine.h"

struct engine {
    char *root, *run_root;
    char *containers;   /* ROOT/containers */
    char *events;       /* RUN_ROOT/events */
    char *runtime_root; /* RUN_ROOT/oci: hull-oci's */
    char *machine_root; /* RUN_ROOT/vm: hull-vm's */
    const struct warnings *warnings;
    struct database database;
    struct image_store *images; /* NULL until it is needed */
    struct volume_store volumes;
    bool has_volumes;
    struct networks *networks;
    char *programs[5]; /* paths found so far, of hull-oci and so on */
};

/* ---- Rows (rows.c) ---- */

extern const struct database_schema engine_schema;
/* Enters a new container; EEXIST if its name is in use. */
int engine_row_insert(struct engine *engine, const struct engine_container *container,
                      struct error *err);
/* By its whole id: 1, or 0 if there is none. */
int engine_row_find(struct engine *engine, const char *id, struct engine_container *container,
                    struct error *err);
int engine_row_delete(struct engine *engine, const char *id, struct error *err);
int engine_row_set_settings(struct engine *engine, const struct engine_container *container,
                            struct error *err);
int engine_row_set_name(struct engine *engine, const char *id, const char *name, struct error *err);
/* Whether a name may be given and is free. */
int engine_name_check(struct engine *engine, const char *name, struct error *err);
/* Fills directory and run_directory from the id. */
void engine_container_set_paths(const struct engine *engine, struct engine_container *container);

/* ---- Drafts (draft.c) ---- */

/* What the name of a directory in ROOT/containers begins with as long as it isn't complete. */
#define ENGINE_DRAFT_PREFIX "."

/* Makes a directory and locks it, so that nobody takes it for what a killed command left. Returns
 * the lock, which goes on when the directory is renamed. */
int engine_draft_make(const char *path, struct error *err);
/* Tells each() of drafts that nobody is making any more, and removes them if it says so. */
int engine_draft_each(struct engine *engine,
                      bool (*wants_removal)(const char *name, void *argument), void *argument,
                      struct error *err);

/* ---- One at a time (lock.c) ---- */

/* Takes the container's lock: whoever changes its course holds it. Returns a descriptor; -1 with
 * ENOENT if the container is gone, with EAGAIN if try is set and somebody else has it. */
int engine_lock(const struct engine_container *container, bool try, struct error *err);

/* ---- Room on a full disk (room.c) ---- */

/* Reserves some, unless that is done or there is none. */
void engine_room_keep(const struct engine *engine);
/* Gives the reserve back if that is why something failed: true if it may be tried again. */
bool engine_room_make(const struct engine *engine, const struct error *why);

/* ---- What is left over (reconcile.c) ---- */

bool engine_is_id(const char *text);
/* Whether ROOT/containers has the directory. */
bool engine_has_directory(const struct engine *engine, const char *id);
/* For network_reconcile(): whether the container, one that is being started too, has its network
 * by right. */
bool engine_lives(void *engine, const char *id);

/* ---- Runtimes (runtime.c) ---- */

/* What a runtime knows of a container it keeps in a file ID.container below its --root. */
#define RUNTIME_STATE_SUFFIX ".container"

/* Executes the container's runtime with words, which end with NULL, after its --root; input, unless
 * NULL, is less than 64 KiB. Its error is the error. */
int engine_runtime_call(struct engine *engine, const struct engine_container *container,
                        const char *const *words, const char *input, struct error *err);
/* Whether one of the runtimes knows it. */
bool engine_runtime_knows(const struct engine *engine, const char *id);
/* Ends what is left of a container without a monitor; does nothing if no runtime knows it. */
int engine_runtime_forget(struct engine *engine, const char *id, struct error *err);

/* ---- What a container is made of ---- */

/* Removes all that goes by this id, whatever there is of it, and at last its directory. */
int engine_erase(struct engine *engine, const char *id, bool anonymous_volumes, struct error *err);
/* Gives back what the last start took: the runtime's state (which its monitor has removed, unless
 * hull-oci was killed), network, mounts of volumes. */
int engine_give_back(struct engine *engine, const char *id, struct error *err);

/* A new name for its attached interfaces. */
int engine_network_rename(struct engine *engine, const struct engine_container *container,
                          const char *name, struct error *err);

/* HostConfig of the container's settings; never NULL. */
json_t *engine_host_config(const struct engine_container *container);

/* The directory of the layer below every image, made if it is missing: with the files and
 * directories that all containers have mounts on, so that no container's own changes, which `diff`
 * shows and `commit` keeps, hold them. The caller frees *path, also after an error. */
int engine_skeleton_make(struct engine *engine, const char **path, struct error *err);

/* The directories of the container's root file system, the uppermost (its own) first. */
struct engine_layers {
    const char **directories; /* count + 1 of them, the first is upper, the last the skeleton */
    size_t count;             /* the image's and the skeleton */
    struct image_layers image;
};
int engine_layers_find(struct engine *engine, const struct engine_container *container,
                       struct engine_layers *layers, struct error *err);
void engine_layers_release(struct engine_layers *layers);
#define scope_engine_layers __attribute__((cleanup(engine_layers_release)))

/* Makes (or finds) the volumes that the settings name, notes that the container uses them, and
 * keeps the mounts, with the names of anonymous volumes, as the settings' "Mounted". */
int engine_mounts_create(struct engine *engine, struct engine_container *container,
                         struct error *err);
/* The mounts with each Source a path, volumes filled and mounted; a new array, or NULL. */
json_t *engine_mounts_prepare(struct engine *engine, const struct engine_container *container,
                              const struct engine_layers *layers, struct error *err);

/* The image's root file system alone, read-only, as engine_open_root(). */
int engine_open_image_root(const struct engine_container *container,
                           const struct engine_layers *layers, struct error *err);

/* Describes the overlay for the monitor and for engine_open_root(). Texts belong to layers, and to
 * arena. */
void engine_overlay_describe(const struct engine_container *container,
                             const struct engine_layers *layers, struct arena *arena,
                             struct monitor_overlay *overlay);

/* The attributes of a container's events: image, name, labels. A new object. */
json_t *engine_event_attributes(const struct engine_container *container);

/* Writes the whole text beside and renames. */
int engine_write_file(const char *directory, const char *name, const char *text, struct error *err);

#endif
