#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/installation.h"
#include "base/scope.h"
#include "engine/engine_internal.h"
#include "network/network.h"

/* Absolute, since monitors and runtimes have other working directories. */
static char *make_absolute(const char *path)
{
    char here[4096];
    if (path[0] == '/' || !getcwd(here, sizeof here))
        return memory_copy_string(path);
    return memory_format("%s/%s", here, path);
}

static int open_with_room(struct engine *engine, struct error *err)
{
    struct error why = {0};
    engine_room_keep(engine);
    if (database_open_root(&engine->database, engine->root, &why) == 0 ||
        (engine_room_make(engine, &why) &&
         database_open_root(&engine->database, engine->root, &why) == 0))
        return 0;
    if (err)
        *err = why;
    return -1;
}

static int open_database(struct engine *engine, struct error *err)
{
    if (file_make_directories(engine->containers, 0711, err) < 0 ||
        file_make_directories(engine->run_root, 0711, err) < 0 || open_with_room(engine, err) < 0 ||
        database_refuse_loss(&engine->database, engine_schema.module, engine->containers, err) < 0)
        return -1;
    return database_migrate(&engine->database, &engine_schema, err);
}

int engine_open(struct engine **result, const struct engine_options *options, struct error *err)
{
    struct engine *engine = memory_allocate(1, sizeof *engine);
    engine->warnings = options->warnings;
    engine->root = make_absolute(options->root);
    engine->run_root = make_absolute(options->run_root);
    engine->containers = memory_format("%s/containers", engine->root);
    engine->events = memory_format("%s/events", engine->run_root);
    engine->runtime_root = memory_format("%s/oci", engine->run_root);
    engine->machine_root = memory_format("%s/vm", engine->run_root);
    *result = engine;
    if (open_database(engine, err) == 0)
        return 0;
    engine_close(result);
    return -1;
}

void engine_close(struct engine **slot)
{
    struct engine *engine = *slot;
    *slot = NULL;
    if (!engine)
        return;
    network_close(&engine->networks);
    image_store_close(engine->images);
    if (engine->has_volumes)
        volume_close(&engine->volumes);
    database_close(&engine->database);
    for (size_t i = 0; i < sizeof engine->programs / sizeof *engine->programs; i++)
        free(engine->programs[i]);
    free(engine->root);
    free(engine->run_root);
    free(engine->containers);
    free(engine->events);
    free(engine->runtime_root);
    free(engine->machine_root);
    free(engine);
}

struct image_store *engine_images(struct engine *engine, struct error *err)
{
    if (!engine->images) {
        scope_free char *directory = memory_format("%s/images", engine->root);
        if (image_store_open(&engine->images, directory, err) < 0)
            return NULL;
        image_store_set_warnings(engine->images, engine->warnings);
    }
    return engine->images;
}

struct volume_store *engine_volumes(struct engine *engine, struct error *err)
{
    if (!engine->has_volumes) {
        scope_free char *directory = memory_format("%s/volumes", engine->root);
        if (volume_open(&engine->volumes, &engine->database, directory, err) < 0)
            return NULL;
        engine->has_volumes = true;
    }
    return &engine->volumes;
}

const char *engine_events_path(const struct engine *engine)
{
    return engine->events;
}

void engine_emit(struct engine *engine, const char *type, const char *action, const char *id,
                 json_t *attributes)
{
    struct error err;
    if (monitor_event_append(engine->events, type, action, id, attributes, &err) < 0)
        warnings_say(engine->warnings, &err);
    json_decref(attributes);
}

/* hull lies in BUILD/src/cli, where it is run from its build tree. */
static const struct {
    const char *name, *built[2], *installed;
} programs[] = {
    {"hull-oci", {"../oci/verb/hull-oci"}, HULL_RUNTIME_PATH},
    {"hull-monitor", {"../monitor/hull-monitor"}, HULL_LIBEXEC_DIRECTORY "/hull-monitor"},
    {"hull-vm", {"../vm/runtime/hull-vm"}, HULL_LIBEXEC_DIRECTORY "/hull-vm"},
    {"hull-vmm", {"../vm/hull-vmm"}, HULL_VMM_PATH},
    {"hull-guest-init",
     {"../../guest/init/hull-guest-init"},
     HULL_LIBEXEC_DIRECTORY "/hull-guest-init"},
};

const char *engine_program(struct engine *engine, const char *name)
{
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        if (strcmp(programs[i].name, name) != 0)
            continue;
        if (!engine->programs[i])
            engine->programs[i] = installation_find(programs[i].built, programs[i].installed);
        return engine->programs[i];
    }
    return NULL;
}
