#include "vm/runtime/bundle.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define DOCUMENT_LIMIT (16u << 20)
#define SHARES "/shares/" BUNDLE_SHARES_TAG

static json_t *read_document(const char *directory, const char *name, struct error *err)
{
    json_error_t why;
    scope_free char *path = memory_format("%s/%s", directory, name);
    scope_free char *text = file_read_all(AT_FDCWD, path, DOCUMENT_LIMIT, NULL, err);
    json_t *document = text ? json_loads(text, 0, &why) : NULL;
    if (text && !json_is_object(document)) {
        error_set(err, 0, "%s: line %d: %s", path, document ? 1 : why.line,
                  document ? "not an object" : why.text);
        json_decref(document);
        return NULL;
    }
    return document;
}

static int read_text(const struct bundle *bundle, const char *key, const char **text,
                     struct error *err)
{
    *text = json_string_value(json_object_get(bundle->machine, key));
    return *text ? 0 : error_set(err, 0, "machine.json: %s is missing", key);
}

static int read_number(const struct bundle *bundle, const char *key, int64_t minimum,
                       int64_t maximum, int64_t *number, struct error *err)
{
    const json_t *value = json_object_get(bundle->machine, key);
    *number = json_integer_value(value);
    if (!json_is_integer(value) || *number < minimum || *number > maximum)
        return error_set(err, 0, "machine.json: %s isn't %lld to %lld", key, (long long)minimum,
                         (long long)maximum);
    return 0;
}

static int read_machine(struct bundle *bundle, struct error *err)
{
    int64_t owner;
    if (read_number(bundle, "vcpus", 1, 32, &bundle->vcpus, err) < 0 ||
        read_number(bundle, "memory", 32, 1 << 26, &bundle->memory, err) < 0 ||
        read_number(bundle, "partitions", 0, 255, &bundle->partitions, err) < 0 ||
        read_number(bundle, "owner", 1, INT_MAX, &owner, err) < 0 ||
        read_text(bundle, "kernel", &bundle->kernel, err) < 0 ||
        read_text(bundle, "initrd", &bundle->initrd, err) < 0 ||
        read_text(bundle, "arguments", &bundle->arguments, err) < 0 ||
        read_text(bundle, "disk", &bundle->disk, err) < 0 ||
        read_text(bundle, "engine", &bundle->engine, err) < 0 ||
        read_text(bundle, "monitor", &bundle->monitor, err) < 0)
        return -1;
    bundle->owner = (uid_t)owner;
    bundle->is_volatile = json_is_true(json_object_get(bundle->machine, "volatile"));
    return 0;
}

/* ---- shares ---- */

static bool has_option(const json_t *mount, const char *name)
{
    const json_t *option;
    size_t i;
    json_array_foreach(json_object_get(mount, "options"), i, option)
    {
        if (strcmp(json_string_value(option) ? json_string_value(option) : "", name) == 0)
            return true;
    }
    return false;
}

static bool is_bind(const json_t *mount)
{
    const char *type = json_string_value(json_object_get(mount, "type"));
    return (type && strcmp(type, "bind") == 0) || has_option(mount, "bind") ||
           has_option(mount, "rbind");
}

/* Each bind's source becomes where the guest has it. */
static int take_shares(struct bundle *bundle, struct error *err)
{
    json_t *mounts = json_object_get(bundle->config, "mounts"), *mount;
    size_t i;
    bundle->shares = memory_allocate(json_array_size(mounts) + 1, sizeof *bundle->shares);
    json_array_foreach(mounts, i, mount)
    {
        const char *source = json_string_value(json_object_get(mount, "source"));
        if (!is_bind(mount))
            continue;
        if (!source || *source != '/')
            return error_set(err, 0, "config.json: mounts[%zu].source isn't an absolute path", i);
        struct bundle_share *share = &bundle->shares[bundle->share_count];
        json_t *number = json_sprintf(SHARES "/%zu", bundle->share_count++);
        /* The text must outlive its place in the document. */
        *share = (struct bundle_share){.source = memory_copy_string(source),
                                       .is_read_only = has_option(mount, "ro"),
                                       .is_recursive = has_option(mount, "rbind")};
        json_object_set_new(mount, "source", number);
    }
    return 0;
}

/* ---- config.json ---- */

static int read_config(struct bundle *bundle, struct error *err)
{
    const json_t *namespace;
    size_t i;
    const json_t *process = json_object_get(bundle->config, "process");
    const json_t *section = json_object_get(bundle->config, "linux");
    bundle->has_terminal = json_is_true(json_object_get(process, "terminal"));
    json_array_foreach(json_object_get(section, "namespaces"), i, namespace)
    {
        const char *type = json_string_value(json_object_get(namespace, "type"));
        if (type && strcmp(type, "network") == 0)
            bundle->network_namespace = json_string_value(json_object_get(namespace, "path"));
    }
    if (!bundle->network_namespace)
        return error_set(err, 0,
                         "a virtual machine needs the path of a network namespace in config.json: "
                         "it can't have the host's network");
    return take_shares(bundle, err);
}

int bundle_read(struct bundle *bundle, const char *directory, struct error *err)
{
    *bundle = (struct bundle){.directory = memory_copy_string(directory),
                              .jail = memory_format("%s/jail", directory),
                              .socket = memory_format("%s/jail/run/vsock", directory)};
    bundle->config = read_document(directory, "config.json", err);
    bundle->machine = bundle->config ? read_document(directory, "machine.json", err) : NULL;
    if (!bundle->machine || read_machine(bundle, err) < 0)
        return -1;
    return read_config(bundle, err);
}

void bundle_release(struct bundle *bundle)
{
    for (size_t i = 0; i < bundle->share_count; i++)
        free((char *)(uintptr_t)bundle->shares[i].source);
    free(bundle->shares);
    json_decref(bundle->config);
    json_decref(bundle->machine);
    free(bundle->directory);
    free(bundle->jail);
    free(bundle->socket);
    *bundle = (struct bundle){0};
}

/* ---- the boot document ---- */

/* Partition 1 is the top layer; the agent wants the lowest first. */
static json_t *describe_root(const struct bundle *bundle)
{
    json_t *layers = json_array();
    for (int64_t i = bundle->partitions; i > 0; i--)
        json_array_append_new(
            layers,
            json_pack("{s:o, s:s}", "device", json_sprintf("/dev/vda%d", (int)i), "type", "erofs"));
    return json_pack("{s:o, s:{s:s, s:s, s:s}}", "layers", layers, "disk", "device", "/dev/vdb",
                     "type", "ext4", "options", "discard");
}

json_t *bundle_describe_boot(const struct bundle *bundle)
{
    json_t *network = json_object_get(bundle->machine, "network");
    json_t *boot = json_pack("{s:O, s:o}", "spec", bundle->config, "root", describe_root(bundle));
    if (json_is_object(network))
        json_object_set(boot, "network", network);
    if (bundle->share_count > 0)
        json_object_set_new(boot, "shares", json_pack("[s]", BUNDLE_SHARES_TAG));
    return boot;
}

/* ---- the monitor's configuration ---- */

static json_t *describe_drives(const struct bundle *bundle)
{
    json_t *drives = json_array();
    json_array_append_new(drives, json_pack("{s:s, s:s, s:b, s:b, s:s}", "drive_id", "layers",
                                            "path_on_host", "/layers.json", "is_root_device", 0,
                                            "is_read_only", 1, "format", "Composite"));
    json_array_append_new(drives,
                          json_pack("{s:s, s:s, s:b, s:b, s:s}", "drive_id", "disk", "path_on_host",
                                    "/disk", "is_root_device", 0, "is_read_only", 0, "cache_type",
                                    bundle->is_volatile ? "Unsafe" : "Writeback"));
    return drives;
}

static json_t *describe_interfaces(const struct bundle *bundle)
{
    const json_t *interface;
    size_t i;
    json_t *interfaces = json_array();
    json_array_foreach(json_object_get(json_object_get(bundle->machine, "network"), "interfaces"),
                       i, interface)
    {
        const char *name = json_string_value(json_object_get(interface, "name"));
        const char *number = name ? name + strcspn(name, "0123456789") : "";
        json_array_append_new(interfaces,
                              json_pack("{s:s?, s:o, s:O?}", "iface_id", name, "host_dev_name",
                                        json_sprintf("tap%s", number), "guest_mac",
                                        json_object_get(interface, "mac")));
    }
    return interfaces;
}

json_t *bundle_describe_machine(const struct bundle *bundle)
{
    json_t *machine = json_pack(
        "{s:{s:s, s:s, s:s}, s:{s:I, s:I}, s:o, s:o, s:{s:i, s:s}, s:{}, s:{s:i, s:b, s:b}}",
        "boot-source", "kernel_image_path", "/kernel", "initrd_path", "/initrd", "boot_args",
        bundle->arguments, "machine-config", "vcpu_count", (json_int_t)bundle->vcpus,
        "mem_size_mib", (json_int_t)bundle->memory, "drives", describe_drives(bundle),
        "network-interfaces", describe_interfaces(bundle), "vsock", "guest_cid", 3, "uds_path",
        "/run/vsock", "entropy", "balloon", "amount_mib", 0, "deflate_on_oom", 1,
        "free_page_reporting", 1);
    if (bundle->share_count > 0)
        json_object_set_new(machine, "filesystems",
                            json_pack("[{s:s, s:s, s:s}]", "id", BUNDLE_SHARES_TAG, "path_on_host",
                                      "/shares", "tag", BUNDLE_SHARES_TAG));
    return machine;
}
