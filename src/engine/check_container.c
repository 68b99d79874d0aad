/* What should hold of a container: its directories, lease, status, monitor and runtime. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "engine/check.h"
#include "engine/settings_internal.h"

static bool is_there(const char *directory, const char *name)
{
    scope_free char *path = memory_format("%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void check_directory(struct check *check, const struct engine_container *container)
{
    static const char *const names[] = {"upper", "work", "rootfs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!is_there(container->directory, names[i]))
            check_found(check, "container %s: %s/%s isn't there", container->name,
                        container->directory, names[i]);
}

static int check_lease(struct check *check, const struct engine_container *container,
                       struct error *err)
{
    size_t i = 0;
    while (i < check->holder_count && strcmp(check->holders[i].owner, container->id) != 0)
        i++;
    if (i == check->holder_count)
        check_found(check, "container %s doesn't hold its image", container->name);
    else if (strcmp(check->holders[i].image, container->image_id) != 0)
        check_found(check, "container %s holds image %s instead of %s", container->name,
                    check->holders[i].image, container->image_id);
    scope_image struct image image = {0};
    struct image_store *images = engine_images(check->engine, err);
    int found =
        images ? image_find_held(images, container->id, container->image_id, &image, err) : -1;
    if (found == 0)
        check_found(check, "container %s: its image %s isn't there", container->name,
                    container->image_id);
    return found < 0 ? -1 : 0;
}

/* Of one that neither runs nor has a monitor. */
static void check_stopped(struct check *check, const struct engine_container *container,
                          const struct monitor_status *status)
{
    if (is_there(container->run_directory, "shm"))
        check_found(check, "container %s doesn't run, and has a /dev/shm", container->name);
    if (engine_runtime_knows(check->engine, container->id))
        check_found(check, "container %s doesn't run, and hull-oci knows it", container->name);
    if (status->state != MONITOR_CREATED &&
        settings_flag(engine_host_config(container), "AutoRemove"))
        check_found(check, "container %s of --rm has ended, and is there still", container->name);
}

/* Whether it is still in the run that status is of. */
static bool goes_on(const struct engine_container *container, const struct monitor_status *status)
{
    struct monitor_status now = {0};
    if (monitor_read_status(container->run_directory, container->directory, &now, NULL) < 0)
        return false;
    bool same = now.state == status->state && strcmp(now.started_at, status->started_at) == 0;
    monitor_status_release(&now);
    return same;
}

/* Between the end of its program and its monitor's word of that it runs without a runtime: for a
 * moment. */
static bool is_lost_by_runtime(const struct check *check, const struct engine_container *container,
                               const struct monitor_status *status)
{
    for (int i = 0; i < 200; i++) {
        if (engine_runtime_knows(check->engine, container->id) || !goes_on(container, status))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return true;
}

static void check_running(struct check *check, const struct engine_container *container,
                          const struct monitor_status *status)
{
    static const char *const names[] = {"config.json", "monitor.json", "hosts", "hostname",
                                        "resolv.conf"};
    const char *mode = settings_text(engine_host_config(container), "NetworkMode");
    size_t count = sizeof names / sizeof *names - (strncmp(mode, "container:", 10) == 0 ? 3 : 0);
    for (size_t i = 0; i < count; i++)
        if (!is_there(container->run_directory, names[i]))
            check_found(check, "container %s runs without %s/%s", container->name,
                        container->run_directory, names[i]);
    if (status->state != MONITOR_RESTARTING && is_lost_by_runtime(check, container, status))
        check_found(check, "container %s runs, and hull-oci doesn't know it", container->name);
}

static void check_status(struct check *check, const struct engine_container *container)
{
    struct monitor_status status = {0};
    struct error why;
    if (monitor_read_status(container->run_directory, container->directory, &status, &why) < 0) {
        check_found(check, "container %s: %s", container->name, why.text);
        return;
    }
    if (status.monitor_lost)
        check_found(check, "container %s has lost its monitor", container->name);
    else if (engine_is_up(&status))
        check_running(check, container, &status);
    else if (status.state == MONITOR_CREATED && status.monitor != 0)
        check_found(check, "container %s waits to begin, and who started it is gone",
                    container->name);
    else if (!monitor_is_alive(container->run_directory))
        check_stopped(check, container, &status);
    monitor_status_release(&status);
}

int check_container(struct check *check, const struct engine_container *container,
                    struct error *err)
{
    struct error why;
    scope_container struct engine_container row = {0};
    scope_close int lock = engine_lock(container, true, &why);
    if (lock < 0 && why.code == EAGAIN)
        return 0;
    int found = engine_row_find(check->engine, container->id, &row, err);
    if (found <= 0)
        return found; /* removed meanwhile */
    if (lock < 0) {
        check_found(check, "container %s: %s", container->name,
                    why.code == ENOENT ? "its directory isn't there" : why.text);
        return 0;
    }
    check_directory(check, container);
    check_status(check, container);
    return check_lease(check, container, err);
}
