#include <string.h>

#include "container/container.h"
#include "container/state.h"
#include "oci/verb/verb.h"

static int open_in_status(struct verb_context *context, const char *wanted, const char *also,
                          struct record *record, struct cgroup *cgroup, struct error *err)
{
    if (container_open(record, cgroup, context->root, verb_id(context), err) < 0)
        return -1;
    const char *status = state_status(record);
    if (strcmp(status, wanted) != 0 && (!also || strcmp(status, also) != 0))
        return error_set(err, 0, "container is %s, not %s", status, wanted);
    if (cgroup->count == 0)
        return error_set(err, 0, "the container has no cgroup of its own to freeze");
    return 0;
}

int verb_pause(struct verb_context *context, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    if (open_in_status(context, "running", "created", &record, &cgroup, err) < 0)
        return -1;
    return cgroup_freeze(&cgroup, err);
}

int verb_resume(struct verb_context *context, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    if (open_in_status(context, "paused", NULL, &record, &cgroup, err) < 0)
        return -1;
    return cgroup_thaw(&cgroup, err);
}
