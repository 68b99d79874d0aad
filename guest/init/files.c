/* Files that the host makes for the container (/etc/hosts, /etc/resolv.conf, /etc/hostname …): kept
 * in the agent's memory and mounted over the image's, so that they aren't part of what it changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

#define MAX_FILES 256

static int write_file(const char *path, const json_t *file, struct error *err)
{
    const json_t *content = json_object_get(file, "content"), *mode = json_object_get(file, "mode");
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || file_write_all(fd, json_string_value(content), json_string_length(content)) < 0 ||
        fchmod(fd, mode ? (mode_t)json_integer_value(mode) & 07777 : 0644) < 0)
        return error_set(err, errno, "can't write %s", path);
    return 0;
}

int files_write(struct guest *guest, const json_t *files, struct error *err)
{
    static const char *const bind_options[] = {"bind", NULL};
    static const char *const readonly_options[] = {"bind", "ro", NULL};
    struct config *config = &guest->config;
    size_t count = json_array_size(files);
    if (count > MAX_FILES)
        return error_set(err, E2BIG, "files: at most %d", MAX_FILES);
    struct config_mount *mounts =
        arena_allocate(&config->arena, config->mount_count + count, sizeof *mounts);
    if (config->mount_count)
        memcpy(mounts, config->mounts, config->mount_count * sizeof *mounts);
    config->mounts = mounts;
    for (size_t i = 0; i < count; i++) {
        const json_t *file = json_array_get(files, i);
        const char *path = json_string_value(json_object_get(file, "path"));
        if (!path || path[0] != '/' || !json_is_string(json_object_get(file, "content")))
            return error_set(err, EINVAL, "files[%zu]: expected an absolute path and a content", i);
        bool readonly = json_is_true(json_object_get(file, "readonly"));
        char *source = arena_format(&config->arena, GUEST_FILES "/%zu", i);
        if (write_file(source, file, err) < 0)
            return -1;
        mounts[config->mount_count++] = (struct config_mount){
            .destination = arena_copy_string(&config->arena, path),
            .type = "bind",
            .source = source,
            .options = {readonly ? 2 : 1,
                        (const char **)(readonly ? readonly_options : bind_options)}};
    }
    return 0;
}
