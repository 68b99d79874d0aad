/* Prints the runtime configuration of settings: make_spec ID ROOTFS [IMAGE-CONFIG [CDI]] <settings
 * Each volume is the directory VOLUME below the working directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "engine/settings.h"
#include "engine/spec.h"

static void say(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    fprintf(stderr, "warning: %s\n", text);
}

static void find_sources(json_t *mounts)
{
    json_t *mount;
    size_t i;
    char here[4096];
    if (!getcwd(here, sizeof here))
        abort();
    json_array_foreach(mounts, i, mount)
    {
        const char *source = json_string_value(json_object_get(mount, "Source"));
        if (strcmp(json_string_value(json_object_get(mount, "Type")), "volume") != 0)
            continue;
        json_object_set_new(mount, "Source",
                            json_sprintf("%s/%s", here, source ? source : "anonymous"));
    }
}

static int make(char **argv, int argc, const json_t *settings, struct error *err)
{
    const struct warnings warnings = {say, NULL};
    const char *layers[] = {argv[2]};
    const char *cdi[] = {argc > 4 ? argv[4] : "/nonexistent"};
    json_t *image = argc > 3 ? json_load_file(argv[3], 0, NULL) : NULL;
    json_t *merged = NULL, *mounts = NULL, *config = NULL;
    char *init = NULL;
    int status = settings_check(settings, &warnings, err);
    if (status == 0 && !(merged = settings_merge(settings, image, err)))
        status = -1;
    if (status == 0 && !(mounts = settings_list_mounts(merged, err)))
        status = -1;
    if (status == 0) {
        find_sources(mounts);
        if (json_is_true(json_object_get(json_object_get(merged, "HostConfig"), "Init")))
            init = spec_find_init(err);
        const struct spec_input input = {
            .id = argv[1],
            .settings = merged,
            .rootfs = argv[2],
            .layers = layers,
            .layer_count = 1,
            .mounts = mounts,
            .network_namespace = getenv("NETWORK_NAMESPACE"),
            .init = init,
            .cgroups_path = getenv("CGROUPS_PATH"),
            .cdi_directories = cdi,
            .cdi_directory_count = 1,
            .warnings = &warnings,
        };
        status = spec_make(&input, &config, err);
    }
    if (status == 0)
        json_dumpf(config, stdout, JSON_INDENT(2));
    free(init);
    json_decref(config);
    json_decref(mounts);
    json_decref(merged);
    json_decref(image);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    json_t *settings = json_loadf(stdin, 0, NULL);
    int status = 2;
    if (argc < 3 || !settings)
        fputs("usage: make_spec ID ROOTFS [IMAGE-CONFIG [CDI]] <settings\n", stderr);
    else if ((status = make(argv, argc, settings, &err)) < 0)
        fprintf(stderr, "%s\n", err.text);
    json_decref(settings);
    return status < 0 ? 1 : status;
}
