/* The mount option tmpcopyup: a tmpfs that begins with a copy of what it covers. */
#ifndef HULL_CONTAINER_COPY_UP_H
#define HULL_CONTAINER_COPY_UP_H

#include "base/error.h"

/* Copies the contents of directory from (files, directories, links, nodes; owners, modes and
 * times; no hard link structure) into directory to, which is empty. */
int copy_up(int from, int to, struct error *err);

#endif
