/* The settings of a container: a JSON document in the shape of the body of POST /containers/create
 * of Docker's Engine API, wherever it comes from (docs/settings.md). */
#ifndef HULL_ENGINE_SETTINGS_H
#define HULL_ENGINE_SETTINGS_H

#include <jansson.h>

#include "base/error.h"
#include "base/warning.h"

/* Whether the document may be kept: every member is known and of its type and range, and no two
 * contradict each other. -1 with one line that names the JSON path ("HostConfig.Memory: …").
 * Warnings are said of what has no effect (published ports with the host's network). */
int settings_check(const json_t *settings, const struct warnings *warnings, struct error *err);

/* The settings with what the image says where they don't: Env, Cmd and Entrypoint, Labels,
 * ExposedPorts, Volumes, User, WorkingDir, StopSignal, Healthcheck, by docker's rules. image is the
 * image's configuration document (OCI image-spec, config.md), whose "config" counts; NULL: none.
 * A new document, or NULL with the error of having no program to run. */
json_t *settings_merge(const json_t *settings, const json_t *image, struct error *err);

/* All mounts that merged settings ask for, from Binds, Mounts, Volumes and Tmpfs, in the shape of
 * the API's HostConfig.Mounts: {"Type": "bind"|"volume"|"tmpfs", "Source", "Target", "ReadOnly",
 * "BindOptions", "VolumeOptions", "TmpfsOptions"}. An anonymous volume has no Source. Options of
 * `-v` that have no member there stand in "Options", a list of texts: a tmpfs's own, "z", "Z",
 * "exec", "nosuid" …. A bind of -v has BindOptions.CreateMountpoint: a source that isn't there is
 * made, as a directory. A target is there once: what a user gave stands in for the image's volume,
 * and two of a user's for one target are an error. VolumesFrom is the engine's to add, with the
 * same precedence as the image's volumes. */
json_t *settings_list_mounts(const json_t *settings, struct error *err);

#endif
