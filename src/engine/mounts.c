/* What a container mounts besides its root: volumes are made with it, and found again, filled and
 * mounted when it starts. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/scope.h"
#include "engine/engine_internal.h"
#include "engine/settings.h"
#include "engine/settings_internal.h"

#define MOUNTED "Mounted" /* the member of the settings that holds the container's mounts */

/* ---- When a container is made ---- */

static bool is_anonymous(const json_t *mount)
{
    return strcmp(settings_text(mount, "Type"), "volume") == 0 && !*settings_text(mount, "Source");
}

/* Whether the image alone asks for a volume there: the user's own are in Binds and Mounts. */
static bool is_of_image(const json_t *settings, const json_t *mount)
{
    return is_anonymous(mount) &&
           json_object_get(json_object_get(settings, "Volumes"), settings_text(mount, "Target"));
}

static void drop_target(json_t *mounts, const char *target)
{
    for (size_t i = json_array_size(mounts); i-- > 0;)
        if (strcmp(settings_text(json_array_get(mounts, i), "Target"), target) == 0)
            json_array_remove(mounts, i);
}

/* "CONTAINER[:ro|:rw]": its volumes and binds, where the user asks for nothing else. */
static int add_from(struct engine *engine, const json_t *settings, const char *text, json_t *mounts,
                    struct error *err)
{
    scope_container struct engine_container other = {0};
    const char *colon = strchr(text, ':');
    if (colon && strcmp(colon, ":ro") != 0 && strcmp(colon, ":rw") != 0)
        return error_set(err, 0, "HostConfig.VolumesFrom: '%.128s' ends neither in :ro nor in :rw",
                         text);
    scope_free char *name = memory_copy_string(text);
    name[colon ? (size_t)(colon - text) : strlen(name)] = '\0';
    if (engine_find(engine, name, &other, err) < 0)
        return error_wrap(err, "HostConfig.VolumesFrom");
    const json_t *mount;
    size_t i;
    json_array_foreach(json_object_get(other.settings, MOUNTED), i, mount)
    {
        const char *target = settings_text(mount, "Target");
        if (strcmp(settings_text(mount, "Type"), "tmpfs") == 0)
            continue;
        const json_t *own = NULL;
        size_t j;
        json_array_foreach(mounts, j,
                           own) if (strcmp(settings_text(own, "Target"), target) == 0) break;
        if (j < json_array_size(mounts) && !is_of_image(settings, own))
            continue;
        drop_target(mounts, target);
        json_t *copy = json_deep_copy(mount);
        if (colon)
            json_object_set_new(copy, "ReadOnly", json_boolean(strcmp(colon, ":ro") == 0));
        json_array_append_new(mounts, copy);
    }
    return 0;
}

static int make_volume(struct engine *engine, const struct engine_container *container,
                       json_t *mount, struct error *err)
{
    char name[VOLUME_NAME_SIZE];
    const json_t *options = json_object_get(mount, "VolumeOptions");
    const json_t *driver = json_object_get(options, "DriverConfig");
    const char *source = settings_text(mount, "Source");
    const struct volume_request request = {
        .name = *source ? source : NULL,
        .driver = *settings_text(driver, "Name") ? settings_text(driver, "Name") : NULL,
        .labels = json_object_get(options, "Labels"),
        .options = json_object_get(driver, "Options"),
        .container = container->id,
    };
    struct volume_store *volumes = engine_volumes(engine, err);
    if (!volumes || volume_create(volumes, &request, name, err) < 0)
        return -1;
    if (!*source)
        json_object_set_new(mount, "Anonymous", json_true());
    json_object_set_new(mount, "Source", json_string(name));
    return 0;
}

static int make_mounts(struct engine *engine, struct engine_container *container, json_t *mounts,
                       struct error *err)
{
    json_t *from = json_object_get(engine_host_config(container), "VolumesFrom"), *mount;
    size_t i;
    json_array_foreach(from, i,
                       mount) if (add_from(engine, container->settings, json_string_value(mount),
                                           mounts, err) < 0) return -1;
    json_array_foreach(mounts, i,
                       mount) if (strcmp(settings_text(mount, "Type"), "volume") == 0 &&
                                  make_volume(engine, container, mount, err) < 0) return -1;
    return 0;
}

int engine_mounts_create(struct engine *engine, struct engine_container *container,
                         struct error *err)
{
    json_t *mounts = settings_list_mounts(container->settings, err);
    if (!mounts)
        return -1;
    json_object_set_new(container->settings, MOUNTED, mounts);
    return make_mounts(engine, container, mounts, err);
}

/* ---- When it starts ---- */

static int open_below(int root, const char *path, int flags)
{
    return file_open_resolved(root, path, (uint64_t)flags, 0, RESOLVE_IN_ROOT);
}

static int exists_in_image(const struct engine_layers *layers, const char *target)
{
    for (size_t i = 1; i <= layers->count; i++) {
        scope_close int root = open(layers->directories[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        scope_close int found = open_below(root, target, O_PATH);
        if (found >= 0)
            return true;
    }
    return false;
}

/* What the image has at the mount's target becomes the volume's first content. */
static int fill_volume(struct engine *engine, const struct engine_container *container,
                       const json_t *mount, const struct engine_layers *layers, struct error *err)
{
    const char *name = settings_text(mount, "Source"), *target = settings_text(mount, "Target");
    if (settings_flag(json_object_get(mount, "VolumeOptions"), "NoCopy"))
        return 0;
    int wants = volume_wants_content(&engine->volumes, name, err);
    if (wants <= 0 || !exists_in_image(layers, target))
        return wants;
    scope_close int root = engine_open_image_root(container, layers, err);
    if (root < 0)
        return -1;
    scope_close int directory = open_below(root, target, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set(err, errno, "can't open the image's %.256s", target);
    return volume_populate(&engine->volumes, name, directory, err);
}

/* A part of a volume, which may not lead out of it. */
static char *resolve_part(const char *directory, const char *part, struct error *err)
{
    char link[64], path[4096];
    scope_close int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scope_close int fd = file_open_resolved(root, part, O_PATH, 0, RESOLVE_BENEATH);
    if (fd < 0) {
        error_set(err, errno, "the volume has no part '%.256s'", part);
        return NULL;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) {
        error_set(err, errno, "can't find the volume's part '%.256s'", part);
        return NULL;
    }
    path[length] = '\0';
    return memory_copy_string(path);
}

static int prepare_volume(struct engine *engine, const struct engine_container *container,
                          json_t *mount, const struct engine_layers *layers, struct error *err)
{
    const char *name = settings_text(mount, "Source");
    const char *part = settings_text(json_object_get(mount, "VolumeOptions"), "Subpath");
    struct volume_store *volumes = engine_volumes(engine, err);
    const struct volume_request request = {.name = name, .container = container->id};
    char found[VOLUME_NAME_SIZE];
    /* Its directory may be missing, or a removal of it have been forced. */
    if (!volumes || (volume_use(volumes, name, container->id, NULL) < 0 &&
                     volume_create(volumes, &request, found, err) < 0))
        return -1;
    if (volume_mount(volumes, name, container->id, err) < 0 ||
        fill_volume(engine, container, mount, layers, err) < 0)
        return -1;
    scope_free char *data = volume_data_path(volumes, name);
    scope_free char *path = *part ? resolve_part(data, part, err) : memory_copy_string(data);
    if (!path)
        return error_wrap(err, "volume '%s'", name);
    json_object_set_new(mount, "Source", json_string(path));
    return 0;
}

static int prepare_bind(const json_t *mount, struct error *err)
{
    const char *source = settings_text(mount, "Source");
    struct stat status;
    if (stat(source, &status) == 0)
        return 0;
    if (errno != ENOENT ||
        !settings_flag(json_object_get(mount, "BindOptions"), "CreateMountpoint"))
        return error_set(err, errno, "can't bind '%.512s' (make it first)", source);
    return file_make_directories(source, 0755, err);
}

json_t *engine_mounts_prepare(struct engine *engine, const struct engine_container *container,
                              const struct engine_layers *layers, struct error *err)
{
    json_t *mounts = json_deep_copy(json_object_get(container->settings, MOUNTED)), *mount;
    size_t i;
    int result = 0;
    if (!mounts)
        mounts = json_array();
    json_array_foreach(mounts, i, mount)
    {
        const char *type = settings_text(mount, "Type");
        if (strcmp(type, "volume") == 0)
            result = prepare_volume(engine, container, mount, layers, err);
        else if (strcmp(type, "bind") == 0)
            result = prepare_bind(mount, err);
        if (result < 0) {
            json_decref(mounts);
            return NULL;
        }
        json_object_del(mount, "Anonymous");
    }
    return mounts;
}
