/* config-linux.md without the control groups and seccomp. */
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "base/file.h"
#include "oci/config_sections.h"

/* user_namespaces(7), "Defining user and group ID mappings". */
#define MOST_ID_MAPPINGS 340

/* What the kernel keeps of a device number (MINORBITS is 20). */
#define HIGHEST_MAJOR 0xfff
#define HIGHEST_MINOR 0xfffff

#define NANOSECONDS_IN_SECOND 1000000000

/* ---- user namespace mappings ---- */

static int convert_id_mapping(const struct config_node *node, void *slot)
{
    struct config_id_mapping *mapping = slot;
    if (config_require_uint32(node, "containerID", UINT32_MAX, &mapping->container_id) < 0 ||
        config_require_uint32(node, "hostID", UINT32_MAX, &mapping->host_id) < 0 ||
        config_require_uint32(node, "size", UINT32_MAX, &mapping->size) < 0)
        return -1;
    if (mapping->size == 0)
        return config_fail_member(node, "size", "must be at least 1");
    /* The last id, 2^32 - 1, means "none" and can't be mapped. */
    if (mapping->size > UINT32_MAX - mapping->container_id ||
        mapping->size > UINT32_MAX - mapping->host_id)
        return config_fail_member(node, "size", "%u ids from there on go beyond the last id",
                                  mapping->size);
    return 0;
}

static bool overlaps(uint32_t start, uint32_t size, uint32_t other_start, uint32_t other_size)
{
    return start < other_start ? other_start - start < size : start - other_start < other_size;
}

int config_read_id_mappings(const struct config_node *from, const char *key,
                            struct config_id_mappings *out)
{
    int found = config_read_list(from, key, sizeof *out->items, convert_id_mapping, &out->items,
                                 &out->count);
    if (found <= 0)
        return found;
    if (out->count > MOST_ID_MAPPINGS)
        return config_fail_member(from, key, "%zu mappings, but the kernel takes at most %d",
                                  out->count, MOST_ID_MAPPINGS);
    for (size_t i = 1; i < out->count; i++) {
        const struct config_id_mapping *mapping = &out->items[i];
        for (size_t j = 0; j < i; j++) {
            const struct config_id_mapping *other = &out->items[j];
            if (overlaps(mapping->container_id, mapping->size, other->container_id, other->size) ||
                overlaps(mapping->host_id, mapping->size, other->host_id, other->size))
                return config_fail_element(from, key, i, "overlaps with element %zu", j);
        }
    }
    return 1;
}

/* ---- namespaces ---- */

static int parse_namespace(const struct config_node *node, struct config_namespace *namespaces)
{
    struct config_choice names[CONFIG_NAMESPACE_KINDS];
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++)
        names[kind] = (struct config_choice){config_namespace_kinds[kind].name, kind};
    const struct config_choices choices = CONFIG_CHOICES(names);
    const struct config_choice *type;
    if (config_expect_object(node) < 0 || config_require_choice(node, "type", &choices, &type) < 0)
        return -1;
    struct config_namespace *namespace = &namespaces[type->value];
    if (namespace->listed)
        return config_fail(node, "the %s namespace is listed twice", type->name);
    namespace->listed = true;
    return config_read_absolute_path(node, "path", &namespace->path);
}

static int parse_namespaces(const struct config_node *node, struct config_namespace *namespaces)
{
    struct config_node array;
    int found = config_read_array(node, "namespaces", &array);
    for (size_t i = 0; found > 0 && i < json_array_size(array.value); i++) {
        struct config_node element = config_element(&array, i);
        if (parse_namespace(&element, namespaces) < 0)
            return -1;
    }
    return found;
}

/* The clocks are keys of a map, so an unknown one is an unknown value, not an unknown property. */
static int parse_time_offsets(const struct config_node *node, struct config_linux *out)
{
    struct config_node offsets;
    int found = config_read_object(node, "timeOffsets", &offsets);
    if (found <= 0)
        return found;
    for (void *i = json_object_iter(offsets.value); i;
         i = json_object_iter_next(offsets.value, i)) {
        const char *clock = json_object_iter_key(i);
        struct config_node member = {node->reader, &offsets, clock, 0, json_object_iter_value(i)};
        struct config_time_offset *offset = strcmp(clock, "monotonic") == 0  ? &out->monotonic
                                            : strcmp(clock, "boottime") == 0 ? &out->boottime
                                                                             : NULL;
        if (!offset)
            return config_fail(&member, "unknown clock; expected monotonic or boottime");
        if (config_expect_object(&member) < 0 ||
            config_read_int64(&member, "secs", INT64_MIN, INT64_MAX, &offset->seconds) < 0 ||
            config_read_uint32(&member, "nanosecs", NANOSECONDS_IN_SECOND - 1,
                               &offset->nanoseconds) < 0)
            return -1;
        offset->given = out->has_time_offsets = true;
    }
    return 1;
}

/* ---- devices ---- */

static int convert_device(const struct config_node *node, void *slot)
{
    static const struct config_choice types[] = {{"c", 'c'}, {"b", 'b'}, {"u", 'u'}, {"p", 'p'}};
    static const struct config_choices choices = CONFIG_CHOICES(types);
    struct config_device *device = slot;
    const struct config_choice *type;
    if (config_require_absolute_path(node, "path", &device->path) < 0 ||
        config_require_choice(node, "type", &choices, &type) < 0 ||
        config_read_uint32(node, "uid", UINT32_MAX, &device->uid) < 0 ||
        config_read_uint32(node, "gid", UINT32_MAX, &device->gid) < 0)
        return -1;
    device->type = (char)type->value;
    int has_major = config_read_int64(node, "major", 0, HIGHEST_MAJOR, &device->major);
    int has_minor = config_read_int64(node, "minor", 0, HIGHEST_MINOR, &device->minor);
    if (device->type != 'p' && (config_require(has_major, node, "major") < 0 ||
                                config_require(has_minor, node, "minor") < 0))
        return -1;
    /* Engines hand over st_mode as it is, so the type's bits are taken and dropped. */
    int has_mode = config_read_uint32(node, "fileMode", S_IFMT | 07777, &device->mode);
    if (has_major < 0 || has_minor < 0 || has_mode < 0)
        return -1;
    device->has_mode = has_mode > 0;
    device->mode &= 07777;
    return 0;
}

/* ---- paths, labels, the rest ---- */

static int read_absolute_paths(const struct config_node *node, const char *key,
                               struct config_strings *out)
{
    int found = config_read_strings(node, key, out);
    for (size_t i = 0; found > 0 && i < out->count; i++) {
        if (*out->items[i] != '/')
            return config_fail_element(node, key, i, "%s is not an absolute path",
                                       config_quote(out->items[i]).text);
    }
    return found;
}

static bool has_parent_component(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2) {
        bool begins = at == path || at[-1] == '/';
        if (begins && (at[2] == '/' || at[2] == '\0'))
            return true;
    }
    return false;
}

static int read_cgroups_path(const struct config_node *node, const char **out)
{
    if (config_read_text(node, "cgroupsPath", out) < 0)
        return -1;
    if (*out && has_parent_component(*out))
        return config_fail_member(node, "cgroupsPath", "%s has a '..' in it",
                                  config_quote(*out).text);
    return 0;
}

static int read_propagation(const struct config_node *node, const char **out)
{
    static const struct config_choice names[] = {
        {"shared", 0},  {"slave", 0},  {"private", 0},  {"unbindable", 0},
        {"rshared", 0}, {"rslave", 0}, {"rprivate", 0}, {"runbindable", 0},
    };
    static const struct config_choices choices = CONFIG_CHOICES(names);
    const struct config_choice *choice;
    int found = config_read_text(node, "rootfsPropagation", out);
    return found > 0 ? config_read_choice(node, "rootfsPropagation", &choices, &choice) : found;
}

static int parse_personality(const struct config_node *node, struct config_linux *out)
{
    static const struct config_choice names[] = {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}};
    static const struct config_choices choices = CONFIG_CHOICES(names);
    struct config_node personality;
    int found = config_read_object(node, "personality", &personality);
    if (found <= 0)
        return found;
    const struct config_choice *domain;
    struct config_strings flags = {0};
    if (config_require_choice(&personality, "domain", &choices, &domain) < 0 ||
        config_read_strings(&personality, "flags", &flags) < 0)
        return -1;
    if (flags.count)
        return config_fail_element(&personality, "flags", 0, "the specification has no flags");
    out->has_personality = true;
    out->personality = (unsigned long)domain->value;
    return 1;
}

static int check_schemata(const struct config_node *rdt, const struct config_intel_rdt *result)
{
    const char *closid = result->closid;
    if (closid && (file_is_dots(closid) || (strchr(closid, '/') && strcmp(closid, "/") != 0)))
        return config_fail_member(rdt, "closID", "%s is not a directory's name",
                                  config_quote(closid).text);
    if (result->l3_cache_schema && strchr(result->l3_cache_schema, '\n'))
        return config_fail_member(rdt, "l3CacheSchema", "has more than one line");
    if (result->mem_bw_schema && strchr(result->mem_bw_schema, '\n'))
        return config_fail_member(rdt, "memBwSchema", "has more than one line");
    if (result->mem_bw_schema && strncmp(result->mem_bw_schema, "MB:", 3) != 0)
        return config_fail_member(rdt, "memBwSchema", "doesn't begin with 'MB:'");
    for (size_t i = 0; i < result->schemata.count; i++) {
        if (strchr(result->schemata.items[i], '\n'))
            return config_fail_element(rdt, "schemata", i, "has more than one line");
    }
    return 0;
}

static int parse_intel_rdt(const struct config_node *node, struct config_intel_rdt **out)
{
    struct config_node rdt;
    int found = config_read_object(node, "intelRdt", &rdt);
    if (found <= 0)
        return found;
    struct config_intel_rdt *result = arena_allocate(node->reader->arena, 1, sizeof *result);
    if (config_read_text(&rdt, "closID", &result->closid) < 0 ||
        config_read_text(&rdt, "l3CacheSchema", &result->l3_cache_schema) < 0 ||
        config_read_text(&rdt, "memBwSchema", &result->mem_bw_schema) < 0 ||
        config_read_strings(&rdt, "schemata", &result->schemata) < 0 ||
        config_read_bool(&rdt, "enableCMT", &result->enable_cmt) < 0 ||
        config_read_bool(&rdt, "enableMBM", &result->enable_mbm) < 0)
        return -1;
    *out = result;
    return check_schemata(&rdt, result);
}

int config_convert_linux(const struct config_node *node, struct config_linux *out)
{
    if (parse_namespaces(node, out->namespaces) < 0 ||
        config_read_id_mappings(node, "uidMappings", &out->uid_mappings) < 0 ||
        config_read_id_mappings(node, "gidMappings", &out->gid_mappings) < 0 ||
        parse_time_offsets(node, out) < 0 ||
        config_read_list(node, "devices", sizeof *out->devices, convert_device, &out->devices,
                         &out->device_count) < 0 ||
        read_cgroups_path(node, &out->cgroups_path) < 0 ||
        config_read_pairs(node, "sysctl", &out->sysctl) < 0 ||
        read_propagation(node, &out->rootfs_propagation) < 0 ||
        read_absolute_paths(node, "maskedPaths", &out->masked_paths) < 0 ||
        read_absolute_paths(node, "readonlyPaths", &out->readonly_paths) < 0 ||
        config_read_text(node, "mountLabel", &out->mount_label) < 0 ||
        parse_intel_rdt(node, &out->intel_rdt) < 0 || parse_personality(node, out) < 0)
        return -1;
    struct config_node section;
    int found = config_read_object(node, "resources", &section);
    if (found < 0 || (found > 0 && config_convert_resources(&section, &out->resources) < 0))
        return -1;
    found = config_read_object(node, "seccomp", &section);
    if (found < 0 || (found > 0 && config_convert_seccomp(&section, &out->seccomp) < 0))
        return -1;
    return 0;
}
