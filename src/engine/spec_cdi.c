/* The Container Device Interface: what vendors say has to be done to a container so that it can use
 * their devices, in JSON files below /etc/cdi and /var/run/cdi. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "engine/spec_internal.h"

#define FILE_LIMIT (4 << 20)

static const char *const default_directories[] = {"/etc/cdi", "/var/run/cdi"};

/* Finds the device in one directory's files. *file and *device become new references. */
static void search_directory(const char *directory, const char *kind, const char *name,
                             json_t **file, json_t **device)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(entries[i]->d_name, '.');
        scope_free char *path = memory_format("%s/%s", directory, entries[i]->d_name);
        scope_free char *text = dot && strcmp(dot, ".json") == 0
                                    ? file_read_all(AT_FDCWD, path, FILE_LIMIT, NULL, NULL)
                                    : NULL;
        json_t *document = text ? json_loads(text, 0, NULL) : NULL;
        const json_t *devices = json_object_get(document, "devices");
        bool is_kind = strcmp(settings_text(document, "kind"), kind) == 0;
        json_t *candidate;
        size_t j;
        json_array_foreach(devices, j, candidate)
        {
            if (is_kind && strcmp(settings_text(candidate, "name"), name) == 0) {
                json_decref(*file);
                json_decref(*device);
                *file = json_incref(document);
                *device = json_incref(candidate);
            }
        }
        json_decref(document);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* Edits */

static void set_variable(json_t *env, const char *text)
{
    size_t length = strcspn(text, "=");
    for (size_t i = json_array_size(env); i-- > 0;) {
        const char *other = json_string_value(json_array_get(env, i));
        if (strcspn(other, "=") == length && strncmp(other, text, length) == 0)
            json_array_remove(env, i);
    }
    json_array_append_new(env, json_string(text));
}

static int apply_nodes(struct spec *spec, const json_t *nodes)
{
    const json_t *node;
    size_t i;
    json_array_foreach(nodes, i, node)
    {
        const char *path = settings_text(node, "path"), *outside = settings_text(node, "hostPath");
        const char *mode = settings_text(node, "permissions");
        if (*path != '/')
            return error_set(spec->err, 0, "a device node without an absolute path");
        if (spec_add_device_node(spec, *outside ? outside : path, path, *mode ? mode : "rwm") < 0)
            return -1;
    }
    return 0;
}

static int apply_mounts(struct spec *spec, const json_t *mounts)
{
    const json_t *mount;
    size_t i;
    json_array_foreach(mounts, i, mount)
    {
        const char *type = settings_text(mount, "type");
        json_t *options = json_object_get(mount, "options");
        if (*settings_text(mount, "containerPath") != '/' ||
            *settings_text(mount, "hostPath") != '/')
            return error_set(spec->err, 0, "a mount without absolute paths");
        json_t *copy = json_is_array(options) ? json_deep_copy(options)
                                              : spec_texts((const char *const[]){"rbind", NULL});
        json_array_append_new(json_object_get(spec->config, "mounts"),
                              json_pack("{s:s, s:s, s:s, s:o}", "destination",
                                        settings_text(mount, "containerPath"), "type",
                                        *type ? type : "bind", "source",
                                        settings_text(mount, "hostPath"), "options", copy));
    }
    return 0;
}

static int apply_hooks(struct spec *spec, const json_t *hooks)
{
    static const char *const members[] = {"path", "args", "env", "timeout"};
    const json_t *hook;
    size_t i;
    json_array_foreach(hooks, i, hook)
    {
        const char *name = settings_text(hook, "hookName");
        if (!*name || *settings_text(hook, "path") != '/')
            return error_set(spec->err, 0, "a hook without a name or an absolute path");
        json_t *copy = json_object();
        for (size_t j = 0; j < sizeof members / sizeof *members; j++)
            if (json_object_get(hook, members[j]))
                json_object_set(copy, members[j], json_object_get(hook, members[j]));
        json_array_append_new(spec_list(spec_map(spec->config, "hooks"), name), copy);
    }
    return 0;
}

static int apply_edits(struct spec *spec, const json_t *edits)
{
    json_t *user = json_object_get(spec->process, "user");
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(edits, "env"), i, item) if (json_is_string(item))
        set_variable(json_object_get(spec->process, "env"), json_string_value(item));
    json_array_foreach(json_object_get(edits, "additionalGids"), i,
                       item) if (json_integer_value(item) > 0)
        json_array_append(spec_list(user, "additionalGids"), (json_t *)item);
    if (apply_nodes(spec, json_object_get(edits, "deviceNodes")) < 0 ||
        apply_mounts(spec, json_object_get(edits, "mounts")) < 0)
        return -1;
    return apply_hooks(spec, json_object_get(edits, "hooks"));
}

/* Requests */

/* What a file says of all its devices is done once for each file: *files lists those. */
static int add_device(struct spec *spec, const char *full_name, json_t *files)
{
    const struct spec_input *input = spec->input;
    const char *const *directories =
        input->cdi_directories ? input->cdi_directories : default_directories;
    size_t count = input->cdi_directories ? input->cdi_directory_count : 2;
    scope_free char *kind = memory_copy_string(full_name);
    kind[strcspn(kind, "=")] = '\0';
    const char *name = strchr(full_name, '=');
    json_t *file = NULL, *device = NULL;
    for (size_t i = 0; name && i < count; i++)
        search_directory(directories[i], kind, name + 1, &file, &device);
    if (!device)
        return error_set(spec->err, 0,
                         "CDI device '%.128s' is not known (no file in %s describes it; the "
                         "vendor's tool writes one)",
                         full_name, count ? directories[0] : "any directory");
    bool is_new = true;
    const json_t *known;
    size_t i;
    json_array_foreach(files, i, known) is_new &= !json_equal(known, file);
    int status = is_new ? apply_edits(spec, json_object_get(file, "containerEdits")) : 0;
    json_array_append(files, file);
    if (status == 0)
        status = apply_edits(spec, json_object_get(device, "containerEdits"));
    json_decref(file);
    json_decref(device);
    return status < 0 ? error_wrap(spec->err, "CDI device '%.128s'", full_name) : 0;
}

/* --gpus: the vendor's class of GPUs, of which "all" is every one. */
static int add_gpus(struct spec *spec, const json_t *request, json_t *files)
{
    const char *driver = settings_text(request, "Driver");
    const char *vendor = *driver ? driver : "nvidia";
    int64_t count = settings_integer(request, "Count");
    const json_t *id;
    size_t i;
    json_array_foreach(json_object_get(request, "DeviceIDs"), i, id)
    {
        scope_free char *name = memory_format("%s.com/gpu=%s", vendor, json_string_value(id));
        if (add_device(spec, name, files) < 0)
            return -1;
    }
    if (json_array_size(json_object_get(request, "DeviceIDs")) > 0)
        return 0;
    for (int64_t number = 0; number < (count < 0 ? 1 : count); number++) {
        scope_free char *name = count < 0
                                    ? memory_format("%s.com/gpu=all", vendor)
                                    : memory_format("%s.com/gpu=%lld", vendor, (long long)number);
        if (add_device(spec, name, files) < 0)
            return -1;
    }
    return 0;
}

static int add_requests(struct spec *spec, json_t *files)
{
    const json_t *request, *id;
    size_t i, j;
    json_array_foreach(json_object_get(spec->host, "DeviceRequests"), i, request)
    {
        if (strcmp(settings_text(request, "Driver"), "cdi") != 0) {
            if (add_gpus(spec, request, files) < 0)
                return -1;
            continue;
        }
        json_array_foreach(json_object_get(request, "DeviceIDs"), j,
                           id) if (add_device(spec, json_string_value(id), files) < 0) return -1;
    }
    return 0;
}

int spec_add_cdi(struct spec *spec)
{
    json_t *files = json_array();
    int status = add_requests(spec, files);
    json_decref(files);
    return status;
}
