/* Making containers: all of it recorded before it is there, none of it left if a step fails. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/engine_internal.h"
#include "engine/machine.h"
#include "engine/name.h"
#include "engine/settings.h"
#include "engine/settings_internal.h"
#include "engine/start.h"

static int make_id(char id[ENGINE_ID_SIZE], struct error *err)
{
    unsigned char bytes[32];
    /* An id whose first twelve digits are all decimal would be taken for a number by some. */
    do {
        if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
            return error_set(err, errno, "can't get random numbers for a container's id");
        for (size_t i = 0; i < sizeof bytes; i++)
            snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    } while (strspn(id, "0123456789") >= 12);
    return 0;
}

static int choose_name(struct engine *engine, const json_t *settings,
                       struct engine_container *container, struct error *err)
{
    const char *name = settings_text(settings, "name");
    name += *name == '/';
    if (*name) {
        container->name = memory_copy_string(name);
        return engine_name_check(engine, name, err);
    }
    struct error taken = {0};
    for (unsigned int attempt = 0; attempt < 100; attempt++) {
        free(container->name);
        container->name = name_generate(container->id, attempt);
        if (engine_name_check(engine, container->name, &taken) == 0)
            return 0;
        if (taken.code != EEXIST)
            break;
    }
    if (err)
        *err = taken;
    return -1;
}

/* Docker warns too, and lets the user find out whether the program can be executed. */
static void warn_of_platform(struct engine *engine, const json_t *settings,
                             const struct image *image)
{
    struct platform wanted;
    struct error err;
    const char *text = settings_text(settings, "platform");
    if (!*text || platform_parse(text, &wanted, NULL) < 0 ||
        platform_rank(&wanted, &image->platform) > 0)
        return;
    error_set(&err, 0, "image %s is for %s/%s, not for %s as --platform asks",
              settings_text(settings, "Image"), image->platform.os, image->platform.architecture,
              text);
    warnings_say(engine->warnings, &err);
}

static int find_image(struct engine *engine, const char *name, struct image *image,
                      struct error *err)
{
    struct reference reference;
    struct image_store *store = engine_images(engine, err);
    int found = store ? image_find(store, name, image, err) : -1;
    if (found == 0 && reference_parse(name, &reference, NULL) == 0 && image_is_default(&reference))
        found = image_make_default(store, image, err);
    if (found == 0) {
        error_set(err, 0, "no such image: %.256s (try 'hull pull %.256s')", name, name);
        if (err)
            err->code = ENOENT;
        return -1;
    }
    return found < 0 ? -1 : 0;
}

static int fill_directory(const char *directory, struct error *err)
{
    static const char *const names[] = {"upper", "work", "rootfs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        scope_free char *path = memory_format("%s/%s", directory, names[i]);
        if (mkdir(path, 0755) < 0)
            return error_set(err, errno, "can't make the container's directory %s", path);
    }
    return 0;
}

/* Makes the directory under another name, and with its lock held: so nobody takes it for what a
 * killed command left. Returns the lock. */
static int make_directory(const struct engine_container *container, struct error *err)
{
    const char *slash = strrchr(container->directory, '/');
    scope_free char *draft =
        memory_format("%.*s/" ENGINE_DRAFT_PREFIX "%s", (int)(slash - container->directory),
                      container->directory, container->id);
    scope_close int lock = engine_draft_make(draft, err);
    if (lock < 0)
        return -1;
    if (fill_directory(draft, err) == 0) {
        if (rename(draft, container->directory) == 0)
            return scope_take_fd(&lock);
        error_set(err, errno, "can't rename %s", draft);
    }
    remove_tree(AT_FDCWD, draft, NULL, NULL);
    return -1;
}

/* Another command may have taken a generated name since it was found free: then it gets another. */
static int insert_row(struct engine *engine, struct engine_container *container, bool is_generated,
                      const struct image *image, struct error *err)
{
    struct error why = {0};
    for (unsigned int attempt = 1; attempt < 1000; attempt++) {
        if (engine_row_insert(engine, container, &why) == 0)
            return 0;
        if (!is_generated || why.code != EEXIST)
            break;
        free(container->name);
        container->name = name_generate(container->id, attempt);
        if (image_lease_take(engine->images, container->id, container->name, image, err) < 0)
            return -1;
    }
    if (err)
        *err = why;
    return -1;
}

/* The row comes last: with it the container is there. */
static int make_parts(struct engine *engine, struct engine_container *container,
                      const struct image *image, bool is_generated, struct error *err)
{
    if (engine_quota_set(container, err) < 0 ||
        image_lease_take(engine->images, container->id, container->name, image, err) < 0 ||
        engine_mounts_create(engine, container, err) < 0 ||
        insert_row(engine, container, is_generated, image, err) < 0)
        return -1;
    engine_emit(engine, "container", "create", container->id, engine_event_attributes(container));
    return 0;
}

static int describe(struct engine *engine, const json_t *settings, const struct image *image,
                    struct engine_container *container, struct error *err)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (make_id(container->id, err) < 0)
        return -1;
    container->created = now.tv_sec * 1000000000LL + now.tv_nsec;
    container->image = memory_copy_string(settings_text(settings, "Image"));
    snprintf(container->image_id, sizeof container->image_id, "%s", image->id);
    container->settings = settings_merge(settings, image->config, err);
    if (!container->settings)
        return -1;
    json_object_del(container->settings, "name");
    if (engine_userns_choose(engine, container, err) < 0)
        return -1;
    engine_container_set_paths(engine, container);
    warn_of_platform(engine, settings, image);
    return choose_name(engine, settings, container, err);
}

static int create(struct engine *engine, const json_t *settings, struct engine_container *container,
                  struct error *err)
{
    scope_image struct image image = {0};
    if (settings_check(settings, engine->warnings, err) < 0 ||
        engine_machine_check(settings, err) < 0 ||
        find_image(engine, settings_text(settings, "Image"), &image, err) < 0 ||
        describe(engine, settings, &image, container, err) < 0)
        return -1;
    scope_close int lock = make_directory(container, err);
    /* What goes with its program needn't survive a power cut. */
    if (lock >= 0 && settings_flag(engine_host_config(container), "AutoRemove"))
        database_relax(&engine->database);
    if (lock >= 0 &&
        make_parts(engine, container, &image, !*settings_text(settings, "name"), err) == 0)
        return 0;
    struct error why;
    if (engine_erase(engine, container->id, true, &why) < 0) {
        error_wrap(&why, "removing what there was of container %.12s", container->id);
        warnings_say(engine->warnings, &why);
    }
    return -1;
}

int engine_create(struct engine *engine, const json_t *settings, struct engine_container *container,
                  struct error *err)
{
    *container = (struct engine_container){0};
    if (create(engine, settings, container, err) == 0)
        return 0;
    engine_container_release(container);
    return -1;
}
