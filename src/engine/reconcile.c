/* Putting right what killed commands, killed monitors and a reboot left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/attach.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

bool engine_is_id(const char *text)
{
    return strlen(text) == ENGINE_ID_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == ENGINE_ID_SIZE - 1;
}

/* Whatever goes wrong with one container must not keep others from being looked at. */
static void warn(struct engine *engine, struct error *why, const char *what, const char *id)
{
    error_wrap(why, "%s container %.12s", what, id);
    warnings_say(engine->warnings, why);
}

/* ---- What has no row ---- */

static int erase_if_left(struct engine *engine, const char *id, struct error *err)
{
    struct engine_container container = {0};
    snprintf(container.id, sizeof container.id, "%s", id);
    engine_container_set_paths(engine, &container);
    scope_container struct engine_container left = container, row = {0};
    scope_close int lock = engine_lock(&left, true, err);
    if (lock < 0 && err->code == EAGAIN)
        return 0; /* it is being made */
    if (lock < 0 && err->code != ENOENT)
        return -1;
    int found = engine_row_find(engine, id, &row, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (access(left.run_directory, F_OK) == 0) {
        bool restart;
        struct error ignored; /* it may never have had a monitor */
        monitor_recover(left.run_directory, &restart, &ignored);
    }
    return engine_erase(engine, id, true, err);
}

/* Of all whose id, with a suffix, names something in the directory. */
static int erase_all_left(struct engine *engine, const char *directory, const char *suffix,
                          struct error *err)
{
    struct error why;
    scope_closedir DIR *stream = opendir(directory);
    struct dirent *entry;
    if (!stream)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't read %s", directory);
    while ((entry = readdir(stream))) {
        scope_free char *id = memory_copy_string(entry->d_name);
        char *end = id + strlen(id) - strlen(suffix);
        if (end < id || strcmp(end, suffix) != 0)
            continue;
        *end = '\0';
        if (engine_is_id(id) && erase_if_left(engine, id, &why) < 0)
            warn(engine, &why, "removing what was left of", id);
    }
    return 0;
}

static bool is_removed(const char *name, void *argument)
{
    (void)name;
    (void)argument;
    return true;
}

static int erase_leftovers(struct engine *engine, struct error *err)
{
    scope_free char *run_directories = memory_format("%s/containers", engine->run_root);
    if (engine_draft_each(engine, is_removed, NULL, err) < 0 ||
        erase_all_left(engine, engine->containers, "", err) < 0 ||
        erase_all_left(engine, run_directories, "", err) < 0)
        return -1;
    return erase_all_left(engine, engine->runtime_root, RUNTIME_STATE_SUFFIX, err) < 0
               ? -1
               : erase_all_left(engine, engine->machine_root, RUNTIME_STATE_SUFFIX, err);
}

bool engine_has_directory(const struct engine *engine, const char *id)
{
    scope_free char *path = memory_format("%s/%s", engine->containers, id);
    return access(path, F_OK) == 0;
}

/* Of containers whose directory is gone: after a failure between the two. */
static int release_leases(struct engine *engine, struct error *err)
{
    struct image_lease_holder *holders;
    size_t count;
    struct image_store *images = engine_images(engine, err);
    if (!images || image_lease_list(images, &holders, &count, err) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        if (engine_is_id(holders[i].owner) && !engine_has_directory(engine, holders[i].owner))
            result = image_lease_release(images, holders[i].owner, err);
    image_lease_holders_free(holders, count);
    return result;
}

static bool container_exists(const char *container, void *argument)
{
    return engine_has_directory(argument, container);
}

static int repair_volumes(struct engine *engine, struct error *err)
{
    struct volume_store *volumes = engine_volumes(engine, err);
    json_t *findings = json_array();
    int result =
        volumes ? volume_check(volumes, container_exists, engine, true, findings, err) : -1;
    json_decref(findings);
    return result < 0 ? -1 : 0;
}

/* A container that is being started holds its lock, and has no monitor yet. */
bool engine_lives(void *context, const char *id)
{
    struct engine *engine = context;
    struct monitor_status status = {0};
    struct error why = {0};
    struct engine_container named = {0};
    snprintf(named.id, sizeof named.id, "%s", id);
    engine_container_set_paths(engine, &named);
    scope_container struct engine_container container = named;
    if (!engine_has_directory(engine, id))
        return false;
    scope_close int lock = engine_lock(&container, true, &why);
    if (lock < 0)
        return why.code != ENOENT;
    if (monitor_read_status(container.run_directory, container.directory, &status, &why) < 0)
        return true;
    bool up = engine_is_up(&status) || monitor_is_alive(container.run_directory);
    monitor_status_release(&status);
    return up;
}

/* ---- Containers ---- */

/* At boot, docker's rules: those that ran when the machine went down, and all of "always". */
static bool wants_start(const struct engine_container *container,
                        const struct monitor_status *status)
{
    const json_t *policy = json_object_get(engine_host_config(container), "RestartPolicy");
    const char *name = settings_text(policy, "Name");
    if (engine_is_up(status) || status->state == MONITOR_CREATED)
        return false;
    if (strcmp(name, "always") == 0)
        return true;
    if (strcmp(name, "unless-stopped") == 0)
        return !status->stopped_by_user;
    return strcmp(name, "on-failure") == 0 && status->rebooted;
}

/* What a start has made that got no further, or a runtime that was killed itself has left. */
static bool has_remains(const struct engine *engine, const struct engine_container *container)
{
    scope_free char *shm = memory_format("%s/shm", container->run_directory);
    return engine_runtime_knows(engine, container->id) || access(shm, F_OK) == 0;
}

/* Of one that doesn't run. */
static int take_back(struct engine *engine, const struct engine_container *container,
                     struct error *err)
{
    struct monitor_status status = {0};
    if (!has_remains(engine, container))
        return 0;
    scope_close int lock = engine_lock(container, true, err);
    if (lock < 0)
        return err->code == EAGAIN ? 0 : -1;
    if (monitor_read_status(container->run_directory, container->directory, &status, err) < 0)
        return -1;
    bool is_up = engine_is_up(&status) || monitor_is_alive(container->run_directory);
    monitor_status_release(&status);
    return is_up ? 0 : engine_give_back(engine, container->id, err);
}

static int settle_container(struct engine *engine, const struct engine_container *container,
                            bool boot, struct error *err)
{
    struct monitor_status status = {0};
    struct engine_start start = {0};
    const struct engine_removal removal = {.volumes = true};
    if (engine_end_waiting(container, err) < 0 ||
        engine_status(engine, container, &status, err) < 0 || take_back(engine, container, err) < 0)
        return -1;
    bool is_over = !engine_is_up(&status) && status.state != MONITOR_CREATED;
    bool is_wanted = boot && wants_start(container, &status);
    monitor_status_release(&status);
    /* Of --rm, and its cleanup was killed. */
    if (is_over && settings_flag(engine_host_config(container), "AutoRemove"))
        return engine_remove(engine, container, &removal, err);
    return is_wanted && engine_start(engine, container, &start, err) < 0 ? -1 : 0;
}

int engine_reconcile(struct engine *engine, bool boot, struct error *err)
{
    struct error why;
    scope_engine_list struct engine_list list = {0};
    struct networks *networks = engine_networks(engine, err);
    if (!networks || engine_list(engine, &list, err) < 0)
        return -1;
    if (erase_leftovers(engine, err) < 0 || release_leases(engine, err) < 0 ||
        repair_volumes(engine, err) < 0 ||
        network_reconcile(networks, engine_lives, engine, err) < 0)
        return -1;
    for (size_t i = list.count; i-- > 0;)
        if (settle_container(engine, &list.items[i], boot, &why) < 0)
            warn(engine, &why, "looking after", list.items[i].id);
    return 0;
}
