/* Device nodes, and the rules of the cgroup that allow them. The runtime adds those that every
 * container has (null, zero, full, random, urandom, tty, ptmx). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/spec_internal.h"

#define DEPTH 8 /* of directories below /dev */

static void allow(struct spec *spec, bool allowed, char type, int64_t major_number,
                  int64_t minor_number, const char *access)
{
    json_t *rule = json_pack("{s:b, s:s, s:s}", "allow", allowed, "type",
                             (const char[]){type, '\0'}, "access", access);
    if (major_number >= 0)
        json_object_set_new(rule, "major", json_integer(major_number));
    if (minor_number >= 0)
        json_object_set_new(rule, "minor", json_integer(minor_number));
    json_array_append_new(spec_list(spec_map(spec->linux_section, "resources"), "devices"), rule);
}

static void add_node(struct spec *spec, const char *path, const struct stat *status,
                     const char *mode)
{
    char type = S_ISBLK(status->st_mode) ? 'b' : 'c';
    json_array_append_new(
        spec_list(spec->linux_section, "devices"),
        json_pack("{s:s, s:s, s:I, s:I, s:i, s:I, s:I}", "path", path, "type",
                  (const char[]){type, '\0'}, "major", (json_int_t)major(status->st_rdev), "minor",
                  (json_int_t)minor(status->st_rdev), "fileMode", (int)(status->st_mode & 07777),
                  "uid", (json_int_t)status->st_uid, "gid", (json_int_t)status->st_gid));
    if (mode)
        allow(spec, true, type, major(status->st_rdev), minor(status->st_rdev), mode);
}

/* Every device below a directory of the host, at the same place below path. mode NULL: the rules
 * allow all already. What a runtime makes anew is left out. */
static void add_directory(struct spec *spec, const char *directory, const char *path,
                          const char *mode, int depth)
{
    static const char *const own[] = {"pts", "shm", "fd", "mqueue", "console", "ptmx", "."};
    scope_closedir DIR *entries = depth < DEPTH ? opendir(directory) : NULL;
    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        struct stat status;
        bool is_own = entry->d_name[0] == '.';
        for (size_t i = 0; i < sizeof own / sizeof *own && depth == 0; i++)
            is_own |= strcmp(entry->d_name, own[i]) == 0;
        if (is_own || fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        scope_free char *below = memory_format("%s/%s", directory, entry->d_name);
        scope_free char *inside = memory_format("%s/%s", path, entry->d_name);
        if (S_ISDIR(status.st_mode))
            add_directory(spec, below, inside, mode, depth + 1);
        else if ((S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) && status.st_rdev != 0)
            add_node(spec, inside, &status, mode);
    }
}

int spec_add_device_node(struct spec *spec, const char *host_path, const char *path,
                         const char *mode)
{
    struct stat status;
    if (stat(host_path, &status) < 0)
        return error_set(spec->err, errno, "device %.256s", host_path);
    if (S_ISDIR(status.st_mode)) {
        add_directory(spec, host_path, path, mode, 1);
        return 0;
    }
    if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set(spec->err, 0, "device %.256s: it is no device", host_path);
    add_node(spec, path, &status, mode);
    return 0;
}

/* "c 10:* rwm", checked by whoever took it in */
static int add_rule(struct spec *spec, const char *text)
{
    char type = 0, access[4] = "", major_text[16] = "", minor_text[16] = "";
    if (sscanf(text, "%c %15[0-9*]:%15[0-9*] %3[rwm]", &type, major_text, minor_text, access) !=
            4 ||
        !strchr("abc", type))
        return error_set(spec->err, 0,
                         "HostConfig.DeviceCgroupRules: '%.64s' is no rule such as "
                         "'c 10:* rwm'",
                         text);
    allow(spec, true, type, *major_text == '*' ? -1 : atoll(major_text),
          *minor_text == '*' ? -1 : atoll(minor_text), access);
    return 0;
}

int spec_add_devices(struct spec *spec)
{
    const json_t *item;
    size_t i;
    allow(spec, spec->privileged, 'a', -1, -1, "rwm");
    if (spec->privileged)
        add_directory(spec, "/dev", "/dev", NULL, 0);
    json_array_foreach(json_object_get(spec->host, "Devices"), i, item)
    {
        const char *inside = settings_text(item, "PathInContainer");
        const char *outside = settings_text(item, "PathOnHost");
        const char *mode = settings_text(item, "CgroupPermissions");
        if (spec_add_device_node(spec, outside, *inside ? inside : outside, *mode ? mode : "rwm") <
            0)
            return -1;
    }
    json_array_foreach(json_object_get(spec->host, "DeviceCgroupRules"), i,
                       item) if (add_rule(spec, json_string_value(item)) < 0) return -1;
    return 0;
}
