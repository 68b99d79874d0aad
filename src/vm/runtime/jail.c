#include "vm/runtime/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

static int make_directory(const char *path, struct error *err)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? error_set(err, errno, "can't make %s", path)
                                                    : 0;
}

static int make_file(const char *path, struct error *err)
{
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
    return fd < 0 ? error_set(err, errno, "can't make %s", path) : 0;
}

/* Binds source, a file or a directory, to name in the jail. */
static int bind(const struct bundle *bundle, const char *source, const char *name,
                unsigned long flags, struct error *err)
{
    struct stat status;
    scope_free char *path = memory_format("%s/%s", bundle->jail, name);
    if (stat(source, &status) < 0)
        return error_set(err, errno, "can't use %s", source);
    if ((S_ISDIR(status.st_mode) ? make_directory : make_file)(path, err) < 0)
        return -1;
    if (mount(source, path, NULL, MS_BIND | (flags & MS_REC), NULL) < 0)
        return error_set(err, errno, "can't bind %s into the machine's jail", source);
    if (flags & MS_RDONLY &&
        mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return error_set(err, errno, "can't make %s read-only", path);
    return 0;
}

static int write_document(const struct bundle *bundle, const char *name, json_t *document,
                          struct error *err)
{
    scope_free char *path = memory_format("%s/%s", bundle->jail, name);
    scope_free char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (!text)
        return error_set(err, 0, "can't describe the machine in %s", path);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0)
        return error_set(err, errno, "can't write %s", path);
    return 0;
}

/* The files of the disk of layers, whose description names them as they are in the jail. */
static int bind_layers(const struct bundle *bundle, struct error *err)
{
    json_t *layers = json_deep_copy(json_object_get(bundle->machine, "layers")), *extent;
    size_t i, count = 0;
    int status = 0;
    json_array_foreach(json_object_get(layers, "extents"), i, extent)
    {
        char name[32];
        const char *path = json_string_value(json_object_get(extent, "path"));
        if (!path || status < 0)
            continue;
        snprintf(name, sizeof name, "layers/%zu", count++);
        status = bind(bundle, path, name, 0, err);
        json_object_set_new(extent, "path", json_sprintf("/%s", name));
    }
    if (status == 0)
        return write_document(bundle, "layers.json", layers, err);
    json_decref(layers);
    return -1;
}

static int bind_shares(const struct bundle *bundle, struct error *err)
{
    for (size_t i = 0; i < bundle->share_count; i++) {
        char name[32];
        const struct bundle_share *share = &bundle->shares[i];
        snprintf(name, sizeof name, "shares/%zu", i);
        if (bind(bundle, share->source, name,
                 (share->is_read_only ? MS_RDONLY : 0) | (share->is_recursive ? MS_REC : 0),
                 err) < 0)
            return -1;
    }
    return 0;
}

int jail_fill(const struct bundle *bundle, struct error *err)
{
    scope_free char *layers = memory_format("%s/layers", bundle->jail);
    scope_free char *shares = memory_format("%s/shares", bundle->jail);
    if (make_directory(bundle->jail, err) < 0 || make_directory(layers, err) < 0 ||
        make_directory(shares, err) < 0 || bind_layers(bundle, err) < 0 ||
        bind_shares(bundle, err) < 0 || bind(bundle, bundle->kernel, "kernel", 0, err) < 0 ||
        bind(bundle, bundle->initrd, "initrd", 0, err) < 0 ||
        bind(bundle, bundle->disk, "disk", 0, err) < 0)
        return -1;
    return write_document(bundle, "config.json", bundle_describe_machine(bundle), err);
}
