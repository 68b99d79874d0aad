#ifndef HULL_BASE_REMOVE_TREE_H
#define HULL_BASE_REMOVE_TREE_H

#include "base/error.h"

/* Removes directory/name with all below it; content if there is nothing. Doesn't follow links and
 * doesn't cross mounts. What files held is added to *bytes, which may be NULL. */
int remove_tree(int directory, const char *name, long long *bytes, struct error *err);

#endif
