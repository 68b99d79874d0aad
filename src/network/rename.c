#include "network/network_internal.h"

int network_rename(struct networks *networks, const char *container_id, const char *name,
                   struct error *err)
{
    return database_run(networks->database, err,
                        "UPDATE network_container SET name = ? WHERE id = ?", "tt", name,
                        container_id);
}
