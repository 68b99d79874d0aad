/* /dev of a container: the specification's default devices and links, those of the configuration,
 * and what they are made of where mknod(2) isn't allowed: binds of the host's. */
#ifndef HULL_CONTAINER_DEVICES_H
#define HULL_CONTAINER_DEVICES_H

#include "container/rootfs.h"

int devices_make_all(struct rootfs *rootfs, struct error *err);

/* An O_PATH descriptor of the host's /dev/NAME, which must be the character device major:minor. */
int devices_open_host(const struct rootfs *rootfs, const char *name, unsigned int major,
                      unsigned int minor, struct error *err);

#endif
