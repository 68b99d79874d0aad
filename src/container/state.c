#include "container/state.h"

#include <pwd.h>
#include <string.h>

#include "container/cgroup.h"

static bool is_paused(const struct record *record)
{
    struct cgroup cgroup;
    return cgroup_from_json(&cgroup, json_object_get(record->header, "cgroup"), NULL) == 0 &&
           cgroup_is_frozen(&cgroup, NULL) == 1;
}

const char *state_status(const struct record *record)
{
    enum container_status status = record_status(record);
    if ((status == CONTAINER_RUNNING || status == CONTAINER_CREATED) && is_paused(record))
        status = CONTAINER_PAUSED;
    return container_status_names[status];
}

static void copy_member(json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (value)
        json_object_set(to, name, value);
}

json_t *state_document(const json_t *header, const char *status, pid_t pid)
{
    json_t *state = json_object();
    copy_member(state, header, "ociVersion");
    copy_member(state, header, "id");
    json_object_set_new(state, "status", json_string(status));
    if (pid)
        json_object_set_new(state, "pid", json_integer(pid));
    copy_member(state, header, "bundle");
    json_t *annotations = json_object_get(header, "annotations");
    if (json_object_size(annotations) > 0)
        json_object_set(state, "annotations", annotations);
    return state;
}

/* The name of the user who made the container; libc looks in every database of users there is,
 * which for root isn't worth it. */
static json_t *describe_owner(const json_t *uid)
{
    if (json_integer_value(uid) == 0)
        return json_string("root");
    const struct passwd *user = getpwuid((uid_t)json_integer_value(uid));
    return user ? json_string(user->pw_name)
                : json_sprintf("#%lld", (long long)json_integer_value(uid));
}

/* The members in runc's order: people's scripts match text. */
json_t *state_describe(const struct record *record)
{
    const char *status = state_status(record);
    bool stopped = strcmp(status, "stopped") == 0;
    json_t *state = json_object();
    copy_member(state, record->header, "ociVersion");
    json_object_set_new(state, "id", json_string(record->id));
    /* Clients want the member even when there is no process. */
    json_object_set_new(state, "pid", json_integer(stopped ? 0 : record->pid));
    json_object_set_new(state, "status", json_string(status));
    copy_member(state, record->header, "bundle");
    copy_member(state, record->header, "rootfs");
    copy_member(state, record->header, "created");
    json_t *annotations = json_object_get(record->header, "annotations");
    if (json_object_size(annotations) > 0)
        json_object_set(state, "annotations", annotations);
    const json_t *uid = json_object_get(record->header, "uid");
    if (uid)
        json_object_set_new(state, "owner", describe_owner(uid));
    return state;
}
