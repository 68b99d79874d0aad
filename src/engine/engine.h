/* Containers as objects: made of an image and settings, started, stopped, looked at, removed.
 *
 * A container is a row of the database's table engine_container, a directory ROOT/containers/ID
 *
 *     upper/ work/           overlayfs' upper and work directory
 *     rootfs/                where the monitor mounts the overlay, in its own mount namespace
 *     json.log json.log.1 …  what its program printed
 *     status                 the monitor's, as of the last start or end
 *
 * which is locked (flock) by who changes the container's course: start, remove and so on; and,
 * since it was started first, a directory RUN_ROOT/containers/ID, with what the monitor has there
 * (monitor/monitor.h) and
 *
 *     config.json            the runtime configuration of the last start: this is the bundle
 *     hosts hostname resolv.conf     bound over those of /etc
 *
 * The first directory is made before the row, and removed after it: one without a row is what a
 * killed hull left, and engine_reconcile() removes it with all that goes by the same id (lease of
 * the image, uses of volumes, network). There is no daemon: what a container is doing is asked of
 * its monitor, and each function puts right what it finds wrong with the container that it is
 * about.
 *
 * Functions that take a name take the name, the id, or the beginning of one id alone. Errors that
 * docker answers with 404 have err->code ENOENT, those with 409 EEXIST or EBUSY. */
#ifndef HULL_ENGINE_ENGINE_H
#define HULL_ENGINE_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/warning.h"
#include "database/database.h"
#include "image/image.h"
#include "monitor/monitor.h"
#include "volume/volume.h"

#define ENGINE_ID_SIZE 65

struct engine;

struct engine_options {
    const char *root, *run_root;
    const struct warnings *warnings;
};

/* Opens the database below root, which is made if it is missing. Images, volumes and networks are
 * opened when they are first needed. */
int engine_open(struct engine **engine, const struct engine_options *options, struct error *err);
void engine_close(struct engine **engine); /* does nothing if *engine is NULL */
#define scope_engine __attribute__((cleanup(engine_close)))

/* The modules below, opened; they are the engine's. NULL: failed. */
struct image_store *engine_images(struct engine *engine, struct error *err);
struct volume_store *engine_volumes(struct engine *engine, struct error *err);
struct networks *engine_networks(struct engine *engine, struct error *err); /* network/network.h */

/* RUN_ROOT/events; see monitor_event_append(). */
const char *engine_events_path(const struct engine *engine);
/* Appends an event of an object; attributes (its reference is taken) may be NULL. An event that
 * can't be written is a warning. */
void engine_emit(struct engine *engine, const char *type, const char *action, const char *id,
                 json_t *attributes);

/* ---- Containers ---- */

struct engine_container {
    char id[ENGINE_ID_SIZE];
    char *name;
    char *image; /* as the user wrote it: "nginx:1.25" */
    char image_id[IMAGE_DIGEST_SIZE];
    int64_t created;     /* ns since 1970 */
    json_t *settings;    /* checked and merged with the image's: docs/settings.md */
    char *directory;     /* ROOT/containers/ID */
    char *run_directory; /* RUN_ROOT/containers/ID */
};

/* Zeroes it too; a zeroed one is borne. */
void engine_container_release(struct engine_container *container);
#define scope_container __attribute__((cleanup(engine_container_release)))

/* -1 also if there is none, or several. */
int engine_find(struct engine *engine, const char *name, struct engine_container *container,
                struct error *err);

struct engine_list {
    struct engine_container *items; /* the youngest first */
    size_t count;
};
int engine_list(struct engine *engine, struct engine_list *list, struct error *err);
void engine_list_release(struct engine_list *list);
#define scope_engine_list __attribute__((cleanup(engine_list_release)))

/* What it is doing now, made true by recovering from a lost monitor. Never started: MONITOR_CREATED
 * with a zeroed rest. Release it with monitor_status_release(). */
int engine_status(struct engine *engine, const struct engine_container *container,
                  struct monitor_status *status, struct error *err);
/* Running, paused or restarting. */
bool engine_is_up(const struct monitor_status *status);

/* Makes a container of settings as a client gives them (with "Image", and perhaps "name" and
 * "platform"); name NULL: that of the settings, or a generated one. err->code is ENOENT if the
 * image isn't there, EEXIST if the name is in use. */
int engine_create(struct engine *engine, const json_t *settings, struct engine_container *container,
                  struct error *err);

/* How a start goes wrong: docker's exit codes 125, 126, 127. */
struct engine_start {
    /* Don't begin: the caller attaches, calls monitor_begin(), and then engine_start_release(). If
     * it is killed before, the container counts as one that wasn't started. */
    bool hold;
    int lock;                     /* of a container that was started with hold; else -1 */
    unsigned short rows, columns; /* of the terminal, or 0 */
    struct monitor_failure failure;
};
/* Starts one that doesn't run; of one that does nothing happens (returns 1). */
int engine_start(struct engine *engine, const struct engine_container *container,
                 struct engine_start *start, struct error *err);
/* Lets others work on the container that was started with hold; does nothing if that is done. */
void engine_start_release(struct engine_start *start);

/* As monitor_stop() and so on. Stopping one that doesn't run does nothing, restarting starts it;
 * for the others that is an error. A SIGKILL returns once the program has ended. */
int engine_stop(struct engine *engine, const struct engine_container *container, int signal,
                int timeout, struct error *err);
int engine_restart(struct engine *engine, const struct engine_container *container, int signal,
                   int timeout, struct error *err);
int engine_kill(struct engine *engine, const struct engine_container *container, int signal,
                struct error *err);
int engine_pause(struct engine *engine, const struct engine_container *container,
                 struct error *err);
int engine_resume(struct engine *engine, const struct engine_container *container,
                  struct error *err);

enum engine_wait { ENGINE_WAIT_NOT_RUNNING, ENGINE_WAIT_NEXT_EXIT, ENGINE_WAIT_REMOVED };
/* Waits, and gives the exit code. */
int engine_wait(struct engine *engine, const struct engine_container *container,
                enum engine_wait until, int *exit_code, struct error *err);

struct engine_removal {
    bool force;   /* kill it if it runs */
    bool volumes; /* its anonymous volumes too */
};
int engine_remove(struct engine *engine, const struct engine_container *container,
                  const struct engine_removal *removal, struct error *err);

int engine_rename(struct engine *engine, const struct engine_container *container, const char *name,
                  struct error *err);

/* Changes members of HostConfig (those that docker update takes), live if it runs. */
int engine_update(struct engine *engine, const struct engine_container *container,
                  const json_t *changes, struct error *err);

/* Docker's ContainerInspect; the caller's. NULL on error. size: with SizeRw and SizeRootFs. */
json_t *engine_inspect(struct engine *engine, const struct engine_container *container, bool size,
                       struct error *err);
/* The bytes that its upper directory takes. */
int64_t engine_size(const struct engine_container *container);

/* One more or one less network (network/network.h), at once if the container runs, and from the
 * next start on. */
struct network_endpoint_request;
int engine_network_connect(struct engine *engine, const struct engine_container *container,
                           const struct network_endpoint_request *request, struct error *err);
int engine_network_disconnect(struct engine *engine, const struct engine_container *container,
                              const char *network, struct error *err);
/* 1: some container's settings name the network, also one that doesn't run. */
int engine_network_is_used(struct engine *engine, const char *network_id, struct error *err);

/* What the monitor has executed when a container has ended: takes back what the start made, and
 * removes the container if it was started with --rm. Nothing happens if it is gone already. */
int engine_clean_up(struct engine *engine, const char *id, struct error *err);

/* Looks at all containers, and at what belongs to none: lost monitors, containers of --rm that
 * have ended, directories, leases, uses of volumes and networks of killed commands. Finally starts
 * what a restart policy wants running (boot: after a reboot). */
int engine_reconcile(struct engine *engine, bool boot, struct error *err);

/* What engine_reconcile() would put right, and what it can't: a line each, appended to the array.
 * Containers that commands are working on are left out, and so is the image store. */
int engine_check(struct engine *engine, json_t *findings, struct error *err);

/* ---- Files ---- */

/* The container's root directory, as a descriptor (O_PATH) of a mount that is there as long as the
 * descriptor is. Paths in it are resolved by openat2(2) and RESOLVE_IN_ROOT. */
struct engine_root {
    int fd;
    int user_namespace; /* whose ids its owners are as it shows them; -1: the caller's */
};
/* As its processes see it, or would. writable: for cp into it. */
int engine_open_root(struct engine *engine, const struct engine_container *container, bool writable,
                     struct engine_root *root, struct error *err);
/* The same without what is mounted on it (volumes, /proc …), to be read: what export writes. */
int engine_open_own_root(struct engine *engine, const struct engine_container *container,
                         struct engine_root *root, struct error *err);
/* Bears what couldn't be opened. */
void engine_root_release(struct engine_root *root);
#define scope_engine_root __attribute__((cleanup(engine_root_release)))

/* ---- Other programs of hull ---- */

/* The path of "hull-oci", "hull-monitor" …: that of the build tree where this program is run from
 * one, else as installed. */
const char *engine_program(struct engine *engine, const char *name);
/* The arguments of hull-oci that name its directory of state: "--root", PATH. */
/* Whether it is a virtual machine (--isolation vm). */
bool engine_is_machine(const struct engine_container *container);
/* The container's runtime, hull-oci or for a virtual machine hull-vm, and its --root. */
struct engine_runtime {
    const char *program, *root;
};
struct engine_runtime engine_runtime_of(struct engine *engine,
                                        const struct engine_container *container);

#endif
