/* The upper directory of the container's overlay has what was changed; the image's root tells
 * whether it was there before. Both are only looked at through openat2(2) below their root. */
#include "engine/diff.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "monitor/document.h"

#define CONFIG_LIMIT (16u << 20)

struct comparison {
    int upper, image; /* roots */
    json_t *config;   /* of the last start: what was mounted; or NULL */
    char **pending;   /* directories below upper, without a leading slash */
    size_t pending_count, pending_room;
    struct engine_changes *changes;
    size_t room;
    struct error *err;
};

static void add_change(struct comparison *comparison, const char *path,
                       enum engine_change_kind kind)
{
    struct engine_changes *changes = comparison->changes;
    if (changes->count == comparison->room) {
        comparison->room = comparison->room ? 2 * comparison->room : 64;
        changes->items = memory_resize(changes->items, comparison->room, sizeof *changes->items);
    }
    changes->items[changes->count++] = (struct engine_change){memory_format("/%s", path), kind};
}

static void push(struct comparison *comparison, char *path)
{
    if (comparison->pending_count == comparison->pending_room) {
        comparison->pending_room = comparison->pending_room ? 2 * comparison->pending_room : 64;
        comparison->pending = memory_resize(comparison->pending, comparison->pending_room,
                                            sizeof *comparison->pending);
    }
    comparison->pending[comparison->pending_count++] = path;
}

static int open_below(int root, const char *path, uint64_t flags)
{
    return file_open_resolved(root, *path ? path : ".", flags | O_NOFOLLOW, 0,
                              RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

static bool look(int root, const char *path, struct stat *status)
{
    scope_close int fd = open_below(root, path, O_PATH);
    return fd >= 0 && fstat(fd, status) == 0;
}

static bool is_opaque(int directory)
{
    char value[4];
    return (fgetxattr(directory, "trusted.overlay.opaque", value, sizeof value) == 1 &&
            *value == 'y') ||
           (fgetxattr(directory, "user.overlay.opaque", value, sizeof value) == 1 && *value == 'y');
}

static bool is_empty(int root, const char *path)
{
    int fd = open_below(root, path, O_RDONLY | O_DIRECTORY);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    while (stream && (entry = readdir(stream)))
        if (!file_is_dots(entry->d_name))
            return false;
    return true;
}

/* Something was mounted here: the empty file or directory is only there for that. */
static bool is_mount_point(const struct comparison *comparison, const char *path,
                           const struct stat *status)
{
    size_t i;
    const json_t *mount;
    json_array_foreach(json_object_get(comparison->config, "mounts"), i, mount)
    {
        const char *target = json_string_value(json_object_get(mount, "destination"));
        if (target && strcmp(target + (*target == '/'), path) == 0)
            return S_ISDIR(status->st_mode) ? is_empty(comparison->upper, path)
                                            : S_ISREG(status->st_mode) && status->st_size == 0;
    }
    return false;
}

/* A directory of the image that something was made or changed in is in upper, too; that alone
 * doesn't change it. */
static bool is_same_directory(const struct stat *one, const struct stat *other)
{
    return S_ISDIR(one->st_mode) && one->st_mode == other->st_mode &&
           one->st_uid == other->st_uid && one->st_gid == other->st_gid;
}

static void compare_entry(struct comparison *comparison, const char *path)
{
    struct stat ours, images;
    if (!look(comparison->upper, path, &ours))
        return; /* removed meanwhile */
    bool was_there = look(comparison->image, path, &images);
    if (S_ISCHR(ours.st_mode) && ours.st_rdev == 0) {
        if (was_there)
            add_change(comparison, path, ENGINE_DELETED);
        return;
    }
    if (!was_there && is_mount_point(comparison, path, &ours))
        return;
    if (!was_there)
        add_change(comparison, path, ENGINE_ADDED);
    else if (!is_same_directory(&ours, &images))
        add_change(comparison, path, ENGINE_MODIFIED);
    if (S_ISDIR(ours.st_mode))
        push(comparison, memory_copy_string(path));
}

static int for_each_entry(struct comparison *comparison, int fd, const char *path,
                          void (*act)(struct comparison *comparison, const char *path))
{
    scope_closedir DIR *stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return error_set(comparison->err, ENOMEM, "can't read the directory /%s", path);
    }
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        if (file_is_dots(entry->d_name))
            continue;
        if (strlen(path) + strlen(entry->d_name) + 2 > PATH_MAX)
            return error_set(comparison->err, ENAMETOOLONG, "/%.100s…/%.100s", path, entry->d_name);
        scope_free char *below = memory_format("%s%s%s", path, *path ? "/" : "", entry->d_name);
        act(comparison, below);
    }
    return 0;
}

/* What an opaque directory hides of the image, unless it is there again. */
static void find_hidden(struct comparison *comparison, const char *path)
{
    struct stat status;
    if (!look(comparison->upper, path, &status))
        add_change(comparison, path, ENGINE_DELETED);
}

static int compare_directory(struct comparison *comparison, const char *path)
{
    int fd = open_below(comparison->upper, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : error_set(comparison->err, errno, "can't read the directory /%s", path);
    if (is_opaque(fd)) {
        int below = open_below(comparison->image, path, O_RDONLY | O_DIRECTORY);
        if (below >= 0 && for_each_entry(comparison, below, path, find_hidden) < 0) {
            close(fd);
            return -1;
        }
    }
    return for_each_entry(comparison, fd, path, compare_entry);
}

static int compare_all(struct comparison *comparison)
{
    int result = 0;
    push(comparison, memory_copy_string(""));
    while (comparison->pending_count > 0) {
        scope_free char *path = comparison->pending[--comparison->pending_count];
        if (result == 0)
            result = compare_directory(comparison, path);
    }
    free(comparison->pending);
    return result;
}

/* What was found itself before what is there because of something in it. */
static int compare_changes(const void *left, const void *right)
{
    const struct engine_change *one = left, *other = right;
    int difference = strcmp(one->path, other->path);
    return difference ? difference : (int)other->kind - (int)one->kind;
}

/* Makes the directories above a change changes, too. */
static void add_parents(struct comparison *comparison)
{
    struct engine_changes *changes = comparison->changes;
    size_t found = changes->count;
    for (size_t i = 0; i < found; i++) {
        scope_free char *path = memory_copy_string(changes->items[i].path);
        for (char *slash; (slash = strrchr(path + 1, '/'));) {
            *slash = '\0';
            add_change(comparison, path + 1, ENGINE_MODIFIED);
        }
    }
    if (changes->count == 0)
        return;
    qsort(changes->items, changes->count, sizeof *changes->items, compare_changes);
    size_t kept = 1;
    for (size_t i = 1; i < changes->count; i++) {
        if (strcmp(changes->items[i].path, changes->items[kept - 1].path) == 0)
            free(changes->items[i].path);
        else
            changes->items[kept++] = changes->items[i];
    }
    changes->count = kept;
}

int engine_diff(struct engine *engine, const struct engine_container *container,
                struct engine_changes *changes, struct error *err)
{
    scope_engine_layers struct engine_layers layers = {0};
    *changes = (struct engine_changes){0};
    if (engine_machine_refuse(container, "diff", err) < 0 ||
        engine_layers_find(engine, container, &layers, err) < 0)
        return -1;
    scope_close int image = engine_open_image_root(container, &layers, err);
    if (image < 0)
        return -1;
    scope_close int upper =
        open(layers.directories[0], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (upper < 0)
        return error_set(err, errno, "can't open %s", layers.directories[0]);
    scope_free char *config_path = memory_format("%s/config.json", container->run_directory);
    scope_free char *config_text = file_read_all(AT_FDCWD, config_path, CONFIG_LIMIT, NULL, NULL);
    scope_json json_t *config = config_text ? json_loads(config_text, 0, NULL) : NULL;
    struct comparison comparison = {
        .upper = upper, .image = image, .config = config, .changes = changes, .err = err};
    if (compare_all(&comparison) < 0)
        return -1;
    add_parents(&comparison);
    return 0;
}

void engine_changes_release(struct engine_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        free(changes->items[i].path);
    free(changes->items);
    *changes = (struct engine_changes){0};
}
