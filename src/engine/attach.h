#ifndef HULL_ENGINE_ATTACH_H
#define HULL_ENGINE_ATTACH_H

#include "engine/engine_internal.h"
#include "network/network.h"

/* What a container that starts has got. */
struct engine_network {
    struct network_attachment attachment;
    char *files; /* the directory with the hosts, hostname and resolv.conf that count */
};
void engine_network_release(struct engine_network *network);
#define scope_engine_network __attribute__((cleanup(engine_network_release)))

/* user_namespace shall own the network's; 0 or less: the caller's. */
int engine_network_attach(struct engine *engine, const struct engine_container *container,
                          int user_namespace, struct engine_network *result, struct error *err);
/* Writes the files in the container's run directory anew. */
int engine_network_write_files(const struct engine_container *container,
                               const struct network_attachment *attachment, struct error *err);

#endif
