#include "engine/commit.h"

#include <signal.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "monitor/document.h"

/* Members of the container's settings that are an image's, too (OCI image-spec, config). */
static json_t *make_config(const struct engine_container *container, const struct image *parent)
{
    static const char *const keys[] = {"Cmd",     "Entrypoint", "ExposedPorts", "Healthcheck",
                                       "Labels",  "Shell",      "StopSignal",   "User",
                                       "Volumes", "WorkingDir"};
    const json_t *old = json_object_get(parent->config, "config"), *item;
    json_t *config = json_object(), *env = json_array();
    size_t i;
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(container->settings, keys[i]);
        if (value && !json_is_null(value))
            json_object_set_new(config, keys[i], json_deep_copy(value));
    }
    /* A name alone says that there is no such variable. */
    json_array_foreach(json_object_get(container->settings, "Env"), i, item)
    {
        if (strchr(json_string_value(item), '='))
            json_array_append(env, (json_t *)item);
    }
    json_object_set_new(config, "Env", env);
    if (json_object_get(old, "OnBuild"))
        json_object_set(config, "OnBuild", json_object_get(old, "OnBuild"));
    return config;
}

/* What the container executes, as the history shows it. */
static char *describe_command(const struct engine_container *container)
{
    char *text = memory_copy_string("");
    const json_t *word;
    size_t i;
    json_array_foreach(json_object_get(container->settings, "Cmd"), i, word)
    {
        char *longer = memory_format("%s%s%s", text, i ? " " : "", json_string_value(word));
        free(text);
        text = longer;
    }
    return text;
}

static int add_image(struct engine *engine, const struct engine_container *container,
                     const struct engine_commit *commit, struct image *image, struct error *err)
{
    scope_engine_layers struct engine_layers layers = {0};
    scope_image struct image parent = {0};
    struct image_store *store = engine_images(engine, err);
    /* Fails if the image isn't there. */
    if (!store || engine_layers_find(engine, container, &layers, err) < 0 ||
        image_find_held(store, container->id, container->image_id, &parent, err) < 0)
        return -1;
    scope_json json_t *config = make_config(container, &parent);
    for (size_t i = 0; i < commit->change_count; i++)
        if (image_config_change(config, commit->changes[i], err) < 0)
            return -1;
    scope_free char *command = describe_command(container);
    const struct image_commit wanted = {
        .parent = &parent,
        .upper = layers.directories[0],
        .config = config,
        .author = commit->author,
        .comment = commit->message,
        .created_by = command,
        .reference = commit->reference,
        .user_xattrs = layers.image.user_xattrs,
    };
    return image_commit(store, &wanted, image, err);
}

/* Who interrupts us must not leave the container frozen: signals wait. */
static int add_image_of_frozen(struct engine *engine, const struct engine_container *container,
                               const struct engine_commit *commit, struct image *image,
                               struct error *err)
{
    sigset_t set, before;
    struct error failure;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &before);
    bool is_frozen = engine_pause(engine, container, &failure) == 0;
    if (!is_frozen) { /* without a cgroup of its own: a user's, on a machine that has given none */
        error_wrap(&failure, "container %s runs on meanwhile", container->name);
        warnings_say(engine->warnings, &failure);
    }
    int result = add_image(engine, container, commit, image, err);
    if (is_frozen && engine_resume(engine, container, &failure) < 0)
        warnings_say(engine->warnings, &failure);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

int engine_commit(struct engine *engine, const struct engine_container *container,
                  const struct engine_commit *commit, struct image *image, struct error *err)
{
    struct monitor_status status = {0};
    *image = (struct image){0};
    if (engine_machine_refuse(container, "commit", err) < 0 ||
        engine_status(engine, container, &status, err) < 0)
        return -1;
    bool freeze = commit->pause && status.state == MONITOR_RUNNING;
    monitor_status_release(&status);
    int result = freeze ? add_image_of_frozen(engine, container, commit, image, err)
                        : add_image(engine, container, commit, image, err);
    if (result < 0)
        return -1;
    json_t *attributes = engine_event_attributes(container);
    json_object_set_new(attributes, "imageID", json_string(image->id));
    json_object_set_new(attributes, "comment", json_string(commit->message ? commit->message : ""));
    engine_emit(engine, "container", "commit", container->id, attributes);
    return 0;
}
