/* Removing containers, and what killed commands left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/attach.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

int engine_give_back(struct engine *engine, const char *id, struct error *err)
{
    struct networks *networks = engine_networks(engine, err);
    struct volume_store *volumes = networks ? engine_volumes(engine, err) : NULL;
    scope_free char *run_directory = memory_format("%s/containers/%s", engine->run_root, id);
    if (!volumes || engine_runtime_forget(engine, id, err) < 0 ||
        network_detach(networks, id, err) < 0 || volume_unmount(volumes, id, err) < 0)
        return -1;
    engine_drop_shm(run_directory);
    engine_userns_drop(run_directory);
    return 0;
}

/* In this order, so that whatever is left still has a directory by which it is found. */
static int erase(struct engine *engine, const char *id, bool anonymous_volumes, struct error *err)
{
    struct image_store *images = engine_images(engine, err);
    struct volume_store *volumes = engine_volumes(engine, err);
    scope_free char *run_directory = memory_format("%s/containers/%s", engine->run_root, id);
    scope_close int containers = open(engine->containers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!images || !volumes)
        return -1;
    if (containers < 0)
        return error_set(err, errno, "can't open %s", engine->containers);
    if (engine_give_back(engine, id, err) < 0 ||
        volume_release(volumes, id, anonymous_volumes, err) < 0 ||
        image_lease_release(images, id, err) < 0 ||
        (access(run_directory, F_OK) == 0 && monitor_forget(run_directory, err) < 0))
        return -1;
    return remove_tree(containers, id, NULL, err);
}

int engine_erase(struct engine *engine, const char *id, bool anonymous_volumes, struct error *err)
{
    struct error why = {0};
    if (erase(engine, id, anonymous_volumes, &why) == 0 ||
        (engine_room_make(engine, &why) && erase(engine, id, anonymous_volumes, &why) == 0))
        return 0;
    if (err)
        *err = why;
    return -1;
}

static int delete_row(struct engine *engine, const char *id, struct error *err)
{
    struct error why = {0};
    if (engine_row_delete(engine, id, &why) == 0 ||
        (engine_room_make(engine, &why) && engine_row_delete(engine, id, &why) == 0))
        return 0;
    if (err)
        *err = why;
    return -1;
}

int engine_remove_locked(struct engine *engine, const struct engine_container *container,
                         bool anonymous_volumes, struct error *err)
{
    json_t *attributes = engine_event_attributes(container);
    struct error why;
    if (settings_flag(engine_host_config(container), "AutoRemove"))
        database_relax(&engine->database);
    if (delete_row(engine, container->id, err) < 0) {
        json_decref(attributes);
        return -1;
    }
    /* From here on it is gone; what can't be removed now is found by engine_reconcile(). */
    engine_emit(engine, "container", "destroy", container->id, attributes);
    engine_quota_drop(container);
    if (engine_erase(engine, container->id, anonymous_volumes, &why) < 0) {
        error_wrap(&why, "removing what was left of container %s", container->name);
        warnings_say(engine->warnings, &why);
    }
    return 0;
}

static int stop_for_removal(struct engine *engine, const struct engine_container *container,
                            const struct engine_removal *removal, struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status) || (status.monitor && status.state == MONITOR_CREATED);
    const char *state = monitor_state_name(status.state);
    monitor_status_release(&status);
    if (is_up && !removal->force) {
        error_set(err, 0, "container %s is %s (stop it first, or remove it with --force)",
                  container->name, state);
        if (err)
            err->code = EBUSY;
        return -1;
    }
    if (is_up && engine_stop(engine, container, SIGKILL, 0, err) < 0)
        return -1;
    engine_await_monitor(container);
    return 0;
}

/* Of one that is gone already; or of whose directory somebody else has removed. */
static int remove_row(struct engine *engine, const struct engine_container *container,
                      bool anonymous_volumes, struct error *err)
{
    scope_container struct engine_container row = {0};
    int found = engine_row_find(engine, container->id, &row, err);
    return found > 0 ? engine_remove_locked(engine, container, anonymous_volumes, err) : found;
}

int engine_remove(struct engine *engine, const struct engine_container *container,
                  const struct engine_removal *removal, struct error *err)
{
    struct monitor_status status = {0};
    if (stop_for_removal(engine, container, removal, err) < 0)
        return access(container->directory, F_OK) < 0 ? 0 : -1; /* --rm was quicker */
    scope_close int lock = engine_lock(container, false, err);
    if (lock < 0)
        return err->code == ENOENT ? remove_row(engine, container, removal->volumes, err) : -1;
    if (engine_settle(engine, container, lock, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status);
    monitor_status_release(&status);
    if (is_up)
        return error_set(err, EBUSY, "container %s has just been started again", container->name);
    return engine_remove_locked(engine, container, removal->volumes, err);
}

int engine_clean_up(struct engine *engine, const char *id, struct error *err)
{
    scope_container struct engine_container container = {0};
    struct monitor_status status = {0};
    int found = engine_row_find(engine, id, &container, err);
    if (found <= 0)
        return found;
    scope_close int lock = engine_lock(&container, false, err);
    if (lock < 0)
        return err->code == ENOENT ? 0 : -1;
    if (monitor_read_status(container.run_directory, container.directory, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status) && !status.monitor_lost;
    monitor_status_release(&status);
    if (is_up)
        return error_set(err, EBUSY, "container %s runs: its monitor cleans up when it has ended",
                         container.name);
    if (settings_flag(engine_host_config(&container), "AutoRemove"))
        return engine_remove_locked(engine, &container, true, err);
    return engine_give_back(engine, id, err);
}
