/* --userns private or auto: a user namespace with ids that no other container has. On the disk the
 * container's files keep the owners that the image gives them; they are mapped when they are
 * mounted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/idmap.h"
#include "engine/rootless.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

#define RANGE_SIZE 65536u
/* Far from the ids of users and of /etc/subuid, which begin below and go up. */
#define FIRST_RANGE 16384u
#define RANGE_COUNT 16384u
#define RANGE_MEMBER "UsernsFirstId" /* of the settings */

bool engine_userns_is_wanted(const struct engine_container *container)
{
    const char *mode = settings_text(engine_host_config(container), "UsernsMode");
    return strcmp(mode, "private") == 0 || strcmp(mode, "auto") == 0;
}

static bool is_taken(const struct engine_list *list, uint32_t first)
{
    for (size_t i = 0; i < list->count; i++)
        if (settings_integer(list->items[i].settings, RANGE_MEMBER) == first)
            return true;
    return false;
}

int engine_userns_choose(struct engine *engine, struct engine_container *container,
                         struct error *err)
{
    scope_engine_list struct engine_list list = {0};
    uint32_t number;
    if (!engine_userns_is_wanted(container))
        return 0;
    if (rootless_is_active())
        return error_set(err, 0,
                         "HostConfig.UsernsMode: only root has ids for containers' own user "
                         "namespaces (all of an ordinary user's are in one already)");
    if (engine_list(engine, &list, err) < 0)
        return -1;
    /* At random, so that two commands at the same time take the same one once in 16384 times. */
    for (int attempt = 0; attempt < 1000; attempt++) {
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            return error_set(err, errno, "can't get random numbers");
        uint32_t first = (FIRST_RANGE + number % RANGE_COUNT) * RANGE_SIZE;
        if (is_taken(&list, first))
            continue;
        json_object_set_new(container->settings, RANGE_MEMBER, json_integer(first));
        return 0;
    }
    return error_set(err, 0, "there are no more ids for containers' user namespaces");
}

static char *file_path(const char *run_directory)
{
    return memory_format("%s/user", run_directory);
}

void engine_userns_drop(const char *run_directory)
{
    scope_free char *path = file_path(run_directory);
    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    unlink(path);
}

uid_t engine_userns_root(const struct engine_container *container)
{
    return engine_userns_is_wanted(container)
               ? (uid_t)settings_integer(container->settings, RANGE_MEMBER)
               : 0;
}

int engine_userns_open(const struct engine_container *container, int *fd, struct error *err)
{
    *fd = -1;
    if (!engine_userns_is_wanted(container))
        return 0;
    scope_free char *path = file_path(container->run_directory);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_set(err, errno, "can't open the user namespace %s", path) : 0;
}

static int pin(int fd, const char *path, struct error *err)
{
    char source[64];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    scope_close int file = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0 || mount(source, path, NULL, MS_BIND, NULL) < 0)
        return error_set(err, errno, "can't keep the container's user namespace at %s", path);
    return 0;
}

int engine_userns_prepare(const struct engine_container *container, struct engine_userns *userns,
                          struct error *err)
{
    *userns = (struct engine_userns){.fd = -1};
    if (!engine_userns_is_wanted(container))
        return 0;
    uint32_t first = (uint32_t)settings_integer(container->settings, RANGE_MEMBER);
    struct config_id_mapping range = {0, first, RANGE_SIZE};
    const struct config_id_mappings mappings = {1, &range};
    engine_userns_drop(container->run_directory);
    userns->fd = idmap_open_namespace(&mappings, &mappings, err);
    userns->path = file_path(container->run_directory);
    userns->mappings = json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID", (json_int_t)first,
                                 "size", (json_int_t)RANGE_SIZE);
    return userns->fd < 0 ? -1 : pin(userns->fd, userns->path, err);
}

void engine_userns_release(struct engine_userns *userns)
{
    if (userns->fd > 0)
        close(userns->fd);
    free(userns->path);
    json_decref(userns->mappings);
    *userns = (struct engine_userns){.fd = -1};
}
