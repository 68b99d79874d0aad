/* The mounts that settings ask for in four ways, as one list. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/settings_internal.h"

/* "/a//b/../c/" as "/a/c": what is mounted twice is found by name. */
static char *clean_path(const char *path)
{
    char *clean = memory_allocate(strlen(path) + 2, 1);
    size_t used = 0;
    while (*path) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 2 && strncmp(path, "..", 2) == 0) {
            while (used > 0 && clean[--used] != '/')
                continue;
        } else if (length > 0 && !(length == 1 && *path == '.')) {
            clean[used++] = '/';
            memcpy(clean + used, path, length);
            used += length;
        }
        path += length;
    }
    if (used == 0)
        clean[used++] = '/';
    clean[used] = '\0';
    return clean;
}

static json_t *find_target(json_t *mounts, const char *target)
{
    json_t *mount;
    size_t i;
    json_array_foreach(mounts, i,
                       mount) if (strcmp(settings_text(mount, "Target"), target) == 0) return mount;
    return NULL;
}

/* Takes the reference to mount. */
static int add_mount(json_t *mounts, json_t *mount, const char *place, struct error *err)
{
    scope_free char *target = clean_path(settings_text(mount, "Target"));
    json_object_set_new(mount, "Target", json_string(target));
    const char *reason = NULL;
    if (strcmp(target, "/") == 0)
        reason = "nothing can be mounted at the container's /";
    else if (find_target(mounts, target))
        reason = "two mounts have the same target";
    if (!reason) {
        json_array_append_new(mounts, mount);
        return 0;
    }
    json_decref(mount);
    return error_set(err, 0, "%s: %s, '%.256s'", place, reason, target);
}

bool settings_is_volume_name(const char *name)
{
    if (!isalnum((unsigned char)name[0]) || !name[1])
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return false;
    return strlen(name) < 256;
}

/* Binds */

static json_t *member(json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

/* What an option of -v means; false if there is none of the name. */
static bool apply_option(json_t *mount, const char *option, bool is_volume)
{
    static const char *const propagations[] = {"private", "rprivate", "shared",     "rshared",
                                               "slave",   "rslave",   "unbindable", "runbindable"};
    static const char *const plain[] = {"z",          "Z",       "exec",  "noexec", "suid",
                                        "nosuid",     "dev",     "nodev", "U",      "O",
                                        "idmap",      "noswap",  "copy",  "cached", "delegated",
                                        "consistent", "default", "bind",  "rbind"};
    if (strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0) {
        json_object_set_new(mount, "ReadOnly", json_boolean(option[1] == 'o'));
        return true;
    }
    if (strcmp(option, "nocopy") == 0 || strcmp(option, "volume-nocopy") == 0) {
        if (is_volume)
            json_object_set_new(member(mount, "VolumeOptions"), "NoCopy", json_true());
        return true;
    }
    for (size_t i = 0; i < sizeof propagations / sizeof *propagations; i++) {
        if (strcmp(option, propagations[i]) == 0) {
            json_object_set_new(member(mount, "BindOptions"), "Propagation", json_string(option));
            return true;
        }
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(option, plain[i]) == 0) {
            if (!json_object_get(mount, "Options"))
                json_object_set_new(mount, "Options", json_array());
            json_array_append_new(json_object_get(mount, "Options"), json_string(option));
            return true;
        }
    }
    return false;
}

static int apply_options(json_t *mount, const char *options, bool is_volume, const char *place,
                         struct error *err)
{
    while (*options) {
        size_t length = strcspn(options, ",");
        scope_free char *option = memory_format("%.*s", (int)length, options);
        if (!apply_option(mount, option, is_volume))
            return error_set(err, 0, "%s: there is no option '%.64s'", place, option);
        options += length + (options[length] == ',');
    }
    return 0;
}

/* SOURCE:PATH[:OPTIONS] */
static int add_bind(json_t *mounts, const char *text, const char *place, struct error *err)
{
    scope_free char *copy = memory_copy_string(text);
    char *target = strchr(copy, ':'), *options = target ? strchr(target + 1, ':') : NULL;
    if (!target)
        return error_set(err, 0, "%s: expected SOURCE:PATH[:OPTIONS], found '%.256s'", place, text);
    *target++ = '\0';
    if (options)
        *options++ = '\0';
    bool is_volume = *copy != '/';
    if (is_volume && !settings_is_volume_name(copy))
        return error_set(err, 0,
                         "%s: '%.256s' is neither an absolute path nor a volume's name (letters, "
                         "digits, _, . and -, at least two)",
                         place, copy);
    if (*target != '/')
        return error_set(err, 0, "%s: '%.256s' is no absolute path", place, target);
    json_t *mount = json_pack("{s:s, s:s, s:s}", "Type", is_volume ? "volume" : "bind", "Source",
                              copy, "Target", target);
    if (!is_volume)
        json_object_set_new(member(mount, "BindOptions"), "CreateMountpoint", json_true());
    if (options && apply_options(mount, options, is_volume, place, err) < 0) {
        json_decref(mount);
        return -1;
    }
    return add_mount(mounts, mount, place, err);
}

/* Mounts */

static int check_mount(const json_t *mount, const char *place, struct error *err)
{
    static const char *const options[][2] = {
        {"bind", "BindOptions"}, {"volume", "VolumeOptions"}, {"tmpfs", "TmpfsOptions"}};
    const char *type = settings_text(mount, "Type"), *source = settings_text(mount, "Source");
    bool is_known = false;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        is_known |= strcmp(type, options[i][0]) == 0;
        if (strcmp(type, options[i][0]) != 0 && settings_given(mount, options[i][1]))
            return error_set(err, 0, "%s.%s: doesn't go with type %.32s", place, options[i][1],
                             type);
    }
    if (!is_known)
        return error_set(err, 0, "%s.Type: '%.32s' is none of: bind volume tmpfs", place, type);
    if (*settings_text(mount, "Target") != '/')
        return error_set(err, 0, "%s.Target: expected an absolute path", place);
    if (strcmp(type, "bind") == 0 && *source != '/')
        return error_set(err, 0, "%s.Source: expected an absolute path", place);
    if (strcmp(type, "volume") == 0 && *source && !settings_is_volume_name(source))
        return error_set(err, 0, "%s.Source: '%.256s' is no volume's name", place, source);
    if (strcmp(type, "tmpfs") == 0 && *source)
        return error_set(err, 0, "%s.Source: a tmpfs has none", place);
    const json_t *volume = json_object_get(mount, "VolumeOptions");
    const char *driver = settings_text(json_object_get(volume, "DriverConfig"), "Name");
    if (*driver && strcmp(driver, "local") != 0)
        return error_set(err, 0, "%s.VolumeOptions.DriverConfig.Name: the only driver is local",
                         place);
    const char *part = settings_text(volume, "Subpath");
    scope_free char *framed = memory_format("/%s/", part);
    if (*part == '/' || strstr(framed, "/../"))
        return error_set(err, 0, "%s.VolumeOptions.Subpath: must stay within the volume", place);
    return 0;
}

static int add_tmpfs(json_t *mounts, const char *target, const char *options, struct error *err)
{
    if (*target != '/')
        return error_set(err, 0, "HostConfig.Tmpfs: '%.256s' is no absolute path", target);
    json_t *mount = json_pack("{s:s, s:s}", "Type", "tmpfs", "Target", target);
    json_t *list = json_array();
    while (*options) {
        size_t length = strcspn(options, ",");
        if (length)
            json_array_append_new(list, json_stringn(options, length));
        options += length + (options[length] == ',');
    }
    json_object_set_new(mount, "Options", list);
    return add_mount(mounts, mount, "HostConfig.Tmpfs", err);
}

/* The image's: each that nobody mounts something at gets a volume without a name. */
static int add_volumes(json_t *mounts, json_t *volumes, struct error *err)
{
    const char *target;
    json_t *value;
    json_object_foreach(volumes, target, value)
    {
        scope_free char *clean = clean_path(target);
        if (*target != '/')
            return error_set(err, 0, "Volumes: '%.256s' is no absolute path", target);
        if (find_target(mounts, clean))
            continue;
        if (add_mount(mounts, json_pack("{s:s, s:s}", "Type", "volume", "Target", clean), "Volumes",
                      err) < 0)
            return -1;
    }
    return 0;
}

static int fill_list(json_t *mounts, const json_t *settings, struct error *err)
{
    const json_t *host = json_object_get(settings, "HostConfig"), *item;
    const char *key;
    json_t *value;
    size_t i;
    char place[64];
    json_array_foreach(json_object_get(host, "Binds"), i, item)
    {
        snprintf(place, sizeof place, "HostConfig.Binds[%zu]", i);
        if (add_bind(mounts, json_string_value(item), place, err) < 0)
            return -1;
    }
    json_array_foreach(json_object_get(host, "Mounts"), i, item)
    {
        snprintf(place, sizeof place, "HostConfig.Mounts[%zu]", i);
        if (check_mount(item, place, err) < 0 ||
            add_mount(mounts, json_deep_copy(item), place, err) < 0)
            return -1;
    }
    json_object_foreach(json_object_get(host, "Tmpfs"), key,
                        value) if (add_tmpfs(mounts, key, json_string_value(value), err) <
                                   0) return -1;
    return add_volumes(mounts, json_object_get(settings, "Volumes"), err);
}

json_t *settings_list_mounts(const json_t *settings, struct error *err)
{
    json_t *mounts = json_array();
    if (fill_list(mounts, settings, err) == 0)
        return mounts;
    json_decref(mounts);
    return NULL;
}
