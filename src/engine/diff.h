/* How a container's files differ from its image's. */
#ifndef HULL_ENGINE_DIFF_H
#define HULL_ENGINE_DIFF_H

#include "engine/engine.h"

enum engine_change_kind { ENGINE_MODIFIED, ENGINE_ADDED, ENGINE_DELETED }; /* docker's numbers */

struct engine_change {
    char *path; /* "/etc/hosts"; any bytes but NUL */
    enum engine_change_kind kind;
};

struct engine_changes {
    struct engine_change *items; /* by path */
    size_t count;
};

/* What the container has changed of its image, without what is mounted. A directory counts as
 * modified if anything in it has changed, as docker has it. Release the list in any case. */
int engine_diff(struct engine *engine, const struct engine_container *container,
                struct engine_changes *changes, struct error *err);
void engine_changes_release(struct engine_changes *changes);
#define scope_engine_changes __attribute__((cleanup(engine_changes_release)))

#endif
