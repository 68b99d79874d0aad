/* --volume, --tmpfs and --mount. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "cli/quantity.h"
#include "cli/run_flags_internal.h"

/* "./x" and "~/x" as the shell's user means them; everything else stays. */
static char *resolve_source(const char *source)
{
    char here[PATH_MAX];
    const char *home = getenv("HOME");
    if (source[0] == '~' && (source[1] == '/' || !source[1]) && home)
        return memory_format("%s%s", home, source + 1);
    if (source[0] != '.' || !getcwd(here, sizeof here))
        return memory_copy_string(source);
    if (strcmp(source, ".") == 0)
        return memory_copy_string(here);
    const char *rest = source;
    while (strncmp(rest, "./", 2) == 0)
        rest += 2 + strspn(rest + 2, "/");
    return memory_format("%s%s%s", here, *rest ? "/" : "", rest);
}

/* A directory "/a", "./a" or "..", or the name of a volume. */
static bool is_source(const char *source)
{
    if (source[0] == '/' || source[0] == '.' || source[0] == '~')
        return true;
    if (!isalnum((unsigned char)source[0]) || !source[1])
        return false;
    for (const char *at = source; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return false;
    return true;
}

static const char *unknown_option(const char *options, char *word, size_t size)
{
    static const char known[] =
        " ro rw z Z nocopy copy shared rshared slave rslave private rprivate bind rbind unbindable "
        "runbindable delegated cached consistent default exec noexec suid nosuid dev nodev idmap U "
        "O "
        "volume-nocopy noswap ";
    while (*options) {
        size_t length = strcspn(options, ",");
        snprintf(word, size, "%.*s", (int)length, options);
        char padded[64];
        snprintf(padded, sizeof padded, " %.50s ", word);
        if (!length || !strstr(known, padded))
            return word;
        options += length + (options[length] == ',');
    }
    return NULL;
}

/* [SOURCE:]PATH[:OPTIONS] */
static int add_volume(struct run_flags *flags, const char *flag, const char *value)
{
    char word[64];
    const char *first = strchr(value, ':');
    const char *path = first ? first + 1 : value;
    const char *options = first ? strchr(path, ':') : NULL;
    scope_free char *source = first ? memory_format("%.*s", (int)(first - value), value) : NULL;
    if (options && strchr(options + 1, ':'))
        return run_flags_fail(flags, flag, value, "more than two colons");
    if (*path != '/')
        return run_flags_fail(flags, flag, value, "the path in the container must begin with /");
    if (strcmp(path, "/") == 0 || strncmp(path, "/:", 2) == 0)
        return run_flags_fail(flags, flag, value, "the container's / can't be a volume");
    if (!source) {
        json_object_set_new(run_flags_map(flags->settings, "Volumes"), path, json_object());
        return 0;
    }
    if (!is_source(source))
        return run_flags_fail(flags, flag, value,
                              "'%s' is neither a directory nor a volume's name (letters, digits, "
                              "_, . and -, at least two)",
                              source);
    const char *wrong = options ? unknown_option(options + 1, word, sizeof word) : NULL;
    if (wrong)
        return run_flags_fail(flags, flag, value, "there is no option '%s'", wrong);
    scope_free char *resolved = resolve_source(source);
    scope_free char *bind = memory_format("%s:%s", resolved, path);
    json_array_append_new(run_flags_list(flags->host, "Binds"), run_flags_text(bind, strlen(bind)));
    return 0;
}

static int add_tmpfs(struct run_flags *flags, const char *flag, const char *value)
{
    size_t length = strcspn(value, ":");
    if (*value != '/')
        return run_flags_fail(flags, flag, value, "the path must begin with /");
    scope_free char *path = memory_format("%.*s", (int)length, value);
    const char *options = value[length] ? value + length + 1 : "";
    json_object_set_new(run_flags_map(flags->host, "Tmpfs"), path,
                        run_flags_text(options, strlen(options)));
    return 0;
}

/* --mount */

struct mount {
    struct run_flags *flags;
    const char *flag, *text;
    json_t *object;
};

static int fail(const struct mount *mount, const char *key, const char *reason)
{
    return run_flags_fail(mount->flags, mount->flag, mount->text, "%s %s", key, reason);
}

static int read_boolean(const struct mount *mount, const struct run_flags_field *field, bool *out)
{
    const char *value = field->value ? field->value : "true";
    *out = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    if (*out || strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
        return 0;
    return fail(mount, field->key, "is true or false");
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, run_flags_text(text, strlen(text)));
}

static int set_pair(const struct mount *mount, json_t *map, const struct run_flags_field *field)
{
    size_t length = strcspn(field->value, "=");
    if (!length)
        return fail(mount, field->key, "needs a key");
    scope_free char *key = memory_format("%.*s", (int)length, field->value);
    set_text(map, key, field->value[length] ? field->value + length + 1 : "");
    return 0;
}

/* bind-recursive=enabled|disabled|writable|readonly */
static int set_recursion(const struct mount *mount, const struct run_flags_field *field)
{
    static const char *const members[][2] = {{"disabled", "NonRecursive"},
                                             {"writable", "ReadOnlyNonRecursive"},
                                             {"readonly", "ReadOnlyForceRecursive"}};
    if (strcmp(field->value, "enabled") == 0)
        return 0;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcmp(field->value, members[i][0]) == 0) {
            json_object_set_new(run_flags_map(mount->object, "BindOptions"), members[i][1],
                                json_true());
            return 0;
        }
    }
    return fail(mount, field->key, "is one of: enabled disabled writable readonly");
}

static int set_propagation(const struct mount *mount, const struct run_flags_field *field)
{
    static const char *const names[] = {"private", "rprivate", "shared",
                                        "rshared", "slave",    "rslave"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(field->value, names[i]) == 0) {
            set_text(run_flags_map(mount->object, "BindOptions"), "Propagation", field->value);
            return 0;
        }
    }
    return fail(mount, field->key, "is one of: private rprivate shared rshared slave rslave");
}

static int set_driver_option(const struct mount *mount, const struct run_flags_field *field)
{
    json_t *volume = run_flags_map(mount->object, "VolumeOptions");
    json_t *driver = run_flags_map(volume, "DriverConfig");
    if (strcmp(field->key, "volume-opt") == 0)
        return set_pair(mount, run_flags_map(driver, "Options"), field);
    set_text(driver, "Name", field->value);
    return 0;
}

static int set_tmpfs_option(const struct mount *mount, const struct run_flags_field *field)
{
    json_t *options = run_flags_map(mount->object, "TmpfsOptions");
    int64_t size;
    if (strcmp(field->key, "tmpfs-size") == 0) {
        if (!quantity_read_size(field->value, &size))
            return fail(mount, field->key, "is a size, such as 64m");
        json_object_set_new(options, "SizeBytes", json_integer(size));
        return 0;
    }
    char *end;
    unsigned long mode = strtoul(field->value, &end, 8);
    if (!isdigit((unsigned char)*field->value) || *end || mode > 07777)
        return fail(mount, field->key, "is an octal mode, such as 1777");
    json_object_set_new(options, "Mode", json_integer((json_int_t)mode));
    return 0;
}

/* Keys that may stand without a value. */
static int set_boolean(const struct mount *mount, const struct run_flags_field *field)
{
    bool value;
    if (read_boolean(mount, field, &value) < 0)
        return -1;
    if (strcmp(field->key, "bind-nonrecursive") == 0)
        json_object_set_new(run_flags_map(mount->object, "BindOptions"), "NonRecursive",
                            json_boolean(value));
    else if (strcmp(field->key, "bind-create-src") == 0)
        json_object_set_new(run_flags_map(mount->object, "BindOptions"), "CreateMountpoint",
                            json_boolean(value));
    else if (strcmp(field->key, "volume-nocopy") == 0)
        json_object_set_new(run_flags_map(mount->object, "VolumeOptions"), "NoCopy",
                            json_boolean(value));
    else
        json_object_set_new(mount->object, "ReadOnly", json_boolean(value));
    return 0;
}

static int set_type(const struct mount *mount, const struct run_flags_field *field)
{
    if (strcmp(field->value, "bind") != 0 && strcmp(field->value, "volume") != 0 &&
        strcmp(field->value, "tmpfs") != 0)
        return fail(mount, field->key, "is one of: bind volume tmpfs");
    set_text(mount->object, "Type", field->value);
    return 0;
}

static int set_source(const struct mount *mount, const struct run_flags_field *field)
{
    scope_free char *source = resolve_source(field->value);
    set_text(mount->object, "Source", source);
    return 0;
}

static int set_target(const struct mount *mount, const struct run_flags_field *field)
{
    if (*field->value != '/')
        return fail(mount, field->key, "must begin with /");
    set_text(mount->object, "Target", field->value);
    return 0;
}

static int set_other(const struct mount *mount, const struct run_flags_field *field)
{
    json_t *object = mount->object;
    if (strcmp(field->key, "volume-label") == 0)
        return set_pair(mount, run_flags_map(run_flags_map(object, "VolumeOptions"), "Labels"),
                        field);
    if (strcmp(field->key, "volume-subpath") == 0)
        set_text(run_flags_map(object, "VolumeOptions"), "Subpath", field->value);
    else
        set_text(object, "Consistency", field->value);
    return 0;
}

static const struct mount_key {
    const char *name;
    bool needs_value;
    int (*set)(const struct mount *mount, const struct run_flags_field *field);
} mount_keys[] = {
    {"type", true, set_type},
    {"source", true, set_source},
    {"src", true, set_source},
    {"target", true, set_target},
    {"dst", true, set_target},
    {"destination", true, set_target},
    {"readonly", false, set_boolean},
    {"ro", false, set_boolean},
    {"consistency", true, set_other},
    {"bind-propagation", true, set_propagation},
    {"bind-nonrecursive", false, set_boolean},
    {"bind-recursive", true, set_recursion},
    {"bind-create-src", false, set_boolean},
    {"volume-nocopy", false, set_boolean},
    {"volume-label", true, set_other},
    {"volume-subpath", true, set_other},
    {"volume-driver", true, set_driver_option},
    {"volume-opt", true, set_driver_option},
    {"tmpfs-size", true, set_tmpfs_option},
    {"tmpfs-mode", true, set_tmpfs_option},
};

static int set_field(const struct mount *mount, const struct run_flags_field *field)
{
    for (size_t i = 0; i < sizeof mount_keys / sizeof *mount_keys; i++) {
        if (strcmp(field->key, mount_keys[i].name) != 0)
            continue;
        if (mount_keys[i].needs_value && (!field->value || !*field->value))
            return fail(mount, field->key, "needs a value");
        return mount_keys[i].set(mount, field);
    }
    return run_flags_fail(mount->flags, mount->flag, mount->text, "there is no key '%s'",
                          field->key);
}

static int check_mount(const struct mount *mount)
{
    const char *type = json_string_value(json_object_get(mount->object, "Type"));
    const char *source = json_string_value(json_object_get(mount->object, "Source"));
    static const char *const options[][2] = {
        {"bind", "BindOptions"}, {"volume", "VolumeOptions"}, {"tmpfs", "TmpfsOptions"}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(type, options[i][0]) != 0 && json_object_get(mount->object, options[i][1]))
            return run_flags_fail(mount->flags, mount->flag, mount->text,
                                  "keys of %s don't go with type %s", options[i][0], type);
    if (!json_object_get(mount->object, "Target"))
        return fail(mount, "target", "is missing");
    if (strcmp(type, "bind") == 0 && !source)
        return fail(mount, "source", "is missing, and a bind needs one");
    if (strcmp(type, "bind") == 0 && *source != '/')
        return fail(mount, "source", "of a bind must be an absolute path, or begin with ./");
    if (strcmp(type, "tmpfs") == 0 && source)
        return fail(mount, "source", "doesn't go with type tmpfs");
    if (strcmp(type, "volume") == 0 && source && (*source == '/' || !is_source(source)))
        return fail(mount, "source", "is no name of a volume (for a directory say type=bind)");
    return 0;
}

static int add_mount(struct run_flags *flags, const char *flag, const char *value)
{
    struct run_flags_record record;
    struct mount mount = {flags, flag, value, json_pack("{s:s}", "Type", "volume")};
    int status = run_flags_read_record(flags, flag, value, &record);
    for (size_t i = 0; status == 0 && i < record.count; i++)
        status = set_field(&mount, &record.fields[i]);
    if (status == 0)
        status = check_mount(&mount);
    if (status == 0)
        json_array_append(run_flags_list(flags->host, "Mounts"), mount.object);
    json_decref(mount.object);
    arena_release(&record.arena);
    return status;
}

int run_flags_add_mounts(struct run_flags *flags)
{
    if (run_flags_for_each(flags, "volume", add_volume) < 0 ||
        run_flags_for_each(flags, "tmpfs", add_tmpfs) < 0)
        return -1;
    return run_flags_for_each(flags, "mount", add_mount);
}
