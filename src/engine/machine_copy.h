/* `cp` with a virtual machine that runs: the guest's agent reads and writes its files. What goes
 * from one side to the other rests in the container's directory in between, so that docker's rules
 * about names are those of copy_tree(). */
#ifndef HULL_ENGINE_MACHINE_COPY_H
#define HULL_ENGINE_MACHINE_COPY_H

#include "engine/copy.h"
#include "engine/engine.h"

/* path: as in a copy_place. bytes as copy_tree()'s. */
int machine_copy_out(struct engine *engine, const struct engine_container *container,
                     const char *path, const struct copy_place *destination,
                     const struct copy_options *options, int64_t *bytes, struct error *err);
int machine_copy_in(struct engine *engine, const struct engine_container *container,
                    const struct copy_place *source, const char *path,
                    const struct copy_options *options, int64_t *bytes, struct error *err);
/* As copy_to_archive() and copy_from_archive(); the archive is a plain one. */
int machine_copy_to_archive(struct engine *engine, const struct engine_container *container,
                            const char *path, const struct copy_options *options, int fd,
                            struct error *err);
int machine_copy_from_archive(struct engine *engine, const struct engine_container *container,
                              int fd, const char *path, const struct copy_options *options,
                              struct error *err);

#endif
