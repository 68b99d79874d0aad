/* The systemd manager: the container's cgroup is a transient scope, which systemd makes, in a
 * slice, and accounts for. Delegate= makes everything below it ours. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "container/cgroup_bus.h"

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"
#define JOB_SECONDS 30

struct connection {
    struct bus_library library;
    sd_bus *bus;
};

/* One job that we wait for. */
struct job {
    const struct bus_library *library;
    char path[256];
    char result[64]; /* "" until it is removed; then "done", "failed" … */
};

static void close_connection(struct connection *connection)
{
    if (connection->bus)
        connection->library.sd_bus_flush_close_unref(connection->bus);
    /* The library stays loaded: it leaves thread-local storage and at-fork handlers behind. */
}
#define scope_connection __attribute__((cleanup(close_connection)))

static int load_library(struct bus_library *library, struct error *err)
{
    library->handle = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return error_set(err, 0, "the systemd cgroup manager needs libsystemd.so.0: %s", dlerror());
#define BUS_LOAD(name)                                                                             \
    *(void **)&library->name = dlsym(library->handle, #name);                                      \
    if (!library->name)                                                                            \
        return error_set(err, 0, "this libsystemd.so.0 has no %s", #name);
    BUS_FUNCTIONS(BUS_LOAD)
#undef BUS_LOAD
    return 0;
}

static int open_connection(struct connection *connection, bool user, struct error *err)
{
    connection->bus = NULL;
    if (load_library(&connection->library, err) < 0)
        return -1;
    int result = user ? connection->library.sd_bus_open_user(&connection->bus)
                      : connection->library.sd_bus_open_system(&connection->bus);
    if (result < 0)
        return error_set(err, -result,
                         "can't reach systemd on the %s bus (the systemd cgroup manager needs it)",
                         user ? "user" : "system");
    return 0;
}

/* Turns sd-bus's error into ours, and frees it. */
static int report(const struct connection *connection, sd_bus_error *error, int result,
                  struct error *err, const char *what, const char *unit)
{
    if (error->message)
        error_set(err, 0, "systemd can't %s %s: %s", what, unit, error->message);
    else
        error_set(err, -result, "systemd can't %s %s", what, unit);
    connection->library.sd_bus_error_free(error);
    return -1;
}

static int note_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
    struct job *job = data;
    const char *path, *unit, *result;
    uint32_t id;
    (void)error;
    if (job->library->sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 &&
        strcmp(path, job->path) == 0)
        snprintf(job->result, sizeof job->result, "%s", result);
    return 0;
}

/* Must come before the call that makes the job, or its end could be missed. */
static int watch_jobs(struct connection *connection, struct job *job, struct error *err)
{
    const struct bus_library *library = &connection->library;
    job->library = library;
    job->path[0] = job->result[0] = '\0';
    int result = library->sd_bus_match_signal(connection->bus, NULL, DESTINATION, OBJECT, INTERFACE,
                                              "JobRemoved", note_removed, job);
    if (result < 0)
        return error_set(err, -result, "can't watch systemd's jobs");
    /* Older versions send signals only to those who asked. */
    library->sd_bus_call_method(connection->bus, DESTINATION, OBJECT, INTERFACE, "Subscribe", NULL,
                                NULL, NULL);
    return 0;
}

static int wait_job(struct connection *connection, struct job *job, sd_bus_message *reply,
                    const char *what, const char *unit, struct error *err)
{
    const struct bus_library *library = &connection->library;
    const char *path;
    if (library->sd_bus_message_read(reply, "o", &path) < 0)
        return error_set(err, EPROTO, "systemd's answer names no job for %s", unit);
    snprintf(job->path, sizeof job->path, "%s", path);
    struct timespec deadline = cgroup_deadline(JOB_SECONDS);
    while (!job->result[0]) {
        int result = library->sd_bus_process(connection->bus, NULL);
        int left = cgroup_deadline_left(&deadline);
        if (result == 0 && left > 0)
            result = library->sd_bus_wait(connection->bus, (uint64_t)left * 1000);
        if (result < 0 && result != -EINTR)
            return error_set(err, -result, "lost systemd while it was to %s %s", what, unit);
        if (left == 0 && !job->result[0])
            return error_set(err, ETIMEDOUT, "systemd doesn't %s %s", what, unit);
    }
    if (strcmp(job->result, "done") != 0)
        return error_set(err, 0, "systemd can't %s %s: the job ended as '%s'", what, unit,
                         job->result);
    return 0;
}

static void reset_failed(struct connection *connection, const char *unit)
{
    connection->library.sd_bus_call_method(connection->bus, DESTINATION, OBJECT, INTERFACE,
                                           "ResetFailedUnit", NULL, NULL, "s", unit);
}

/* ---- names ---- */

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

int cgroup_systemd_expand_slice(const char *slice, char *path, size_t size, struct error *err)
{
    size_t length = strlen(slice), used = 0;
    path[0] = '\0';
    if (strcmp(slice, "-.slice") == 0)
        return 0;
    if (!ends_with(slice, ".slice") || length == 6 || strchr(slice, '/') || slice[0] == '-' ||
        strstr(slice, "--") || strstr(slice, "-.slice"))
        return error_set(err, 0, "'%s' is no valid name of a systemd slice", slice);
    for (size_t end = 1; end <= length - 6; end++) {
        if (slice[end] != '-' && end != length - 6)
            continue;
        int added =
            snprintf(path + used, size - used, "%s%.*s.slice", used ? "/" : "", (int)end, slice);
        if (added < 0 || (size_t)added >= size - used)
            return error_set(err, ENAMETOOLONG, "slice '%s'", slice);
        used += (size_t)added;
    }
    return 0;
}

/* Splits "slice:prefix:name" (or makes it of id) into the unit's name and its slice. */
static int name_unit(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                     struct error *err)
{
    char text[600];
    const char *slice = "", *prefix = "hull", *name = id;
    if (cgroups_path && cgroups_path[0]) {
        snprintf(text, sizeof text, "%s", cgroups_path);
        char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second || strchr(second + 1, ':') || strlen(cgroups_path) >= sizeof text)
            return error_set(err, 0,
                             "linux.cgroupsPath: '%s' isn't of the form slice:prefix:name that the "
                             "systemd cgroup manager needs",
                             cgroups_path);
        *first = *second = '\0';
        slice = text;
        prefix = first + 1;
        name = second + 1;
    }
    if (!slice[0])
        slice = cgroup->systemd_user ? "user.slice" : "system.slice";
    bool is_slice = ends_with(name, ".slice");
    int length = snprintf(cgroup->systemd_unit, sizeof cgroup->systemd_unit, "%s%s%s%s",
                          is_slice ? "" : prefix, is_slice || !prefix[0] ? "" : "-", name,
                          is_slice ? "" : ".scope");
    if (!name[0] || strchr(cgroup->systemd_unit, '/') ||
        length >= (int)sizeof cgroup->systemd_unit || strlen(slice) >= sizeof cgroup->systemd_slice)
        return error_set(err, 0, "linux.cgroupsPath: '%s' makes no valid name of a systemd unit",
                         cgroups_path ? cgroups_path : id);
    strcpy(cgroup->systemd_slice, slice);
    return 0;
}

/* The cgroup of the user's own systemd, below which its units are. */
static int find_user_root(char *root, size_t size, struct error *err)
{
    scope_connection struct connection connection;
    if (open_connection(&connection, true, err) < 0)
        return -1;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    scope_free char *path = NULL;
    int result = connection.library.sd_bus_get_property_string(
        connection.bus, DESTINATION, OBJECT, INTERFACE, "ControlGroup", &error, &path);
    if (result < 0)
        return report(&connection, &error, result, err, "tell the cgroup of", "the user manager");
    snprintf(root, size, "%s", path);
    return 0;
}

int cgroup_systemd_resolve(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                           struct error *err)
{
    char slice[1024], inner[1400], root[512] = "";
    cgroup->systemd_user = cgroup->rootless;
    if (cgroup->rootless && cgroup->mode != CGROUP_MODE_V2)
        return error_set(err, 0, "the systemd cgroup manager without root needs cgroup v2");
    if (name_unit(cgroup, cgroups_path, id, err) < 0 ||
        cgroup_systemd_expand_slice(cgroup->systemd_slice, slice, sizeof slice, err) < 0)
        return -1;
    if (cgroup->systemd_user && find_user_root(root, sizeof root, err) < 0)
        return -1;
    /* A slice's own place follows from its own name. */
    if (ends_with(cgroup->systemd_unit, ".slice")) {
        if (cgroup_systemd_expand_slice(cgroup->systemd_unit, inner, sizeof inner, err) < 0)
            return -1;
    } else {
        snprintf(inner, sizeof inner, "%s/%s", slice, cgroup->systemd_unit);
    }
    for (size_t i = 0; i < cgroup->count; i++)
        if (cgroup_place(&cgroup->hierarchies[i], root, inner, err) < 0)
            return -1;
    return 0;
}

/* ---- starting, changing, stopping ---- */

#define ANNOTATION "org.systemd.property."

static int append_annotations(const struct bus_library *library, sd_bus_message *message,
                              const struct config *config, struct error *err)
{
    size_t prefix = strlen(ANNOTATION);
    for (size_t i = 0; i < config->annotations.count; i++) {
        const struct config_pair *pair = &config->annotations.items[i];
        if (strncmp(pair->key, ANNOTATION, prefix) == 0 &&
            bus_append_annotation(library, message, pair->key + prefix, pair->value, err) < 0)
            return -1;
    }
    return 0;
}

static int append_unit(const struct bus_library *library, sd_bus_message *message,
                       const struct cgroup *cgroup, pid_t pid)
{
    char description[300];
    bool is_slice = ends_with(cgroup->systemd_unit, ".slice");
    bool v2 = cgroup->mode == CGROUP_MODE_V2;
    snprintf(description, sizeof description, "hull container %s", cgroup->systemd_unit);
    int result = library->sd_bus_message_append(message, "(sv)(sv)", "Description", "s",
                                                description, "DefaultDependencies", "b", 0);
    if (result >= 0)
        result = library->sd_bus_message_append(
            message, "(sv)(sv)(sv)(sv)", "MemoryAccounting", "b", 1, "CPUAccounting", "b", 1,
            v2 ? "IOAccounting" : "BlockIOAccounting", "b", 1, "TasksAccounting", "b", 1);
    if (result >= 0 && is_slice)
        return library->sd_bus_message_append(message, "(sv)", "Wants", "as", 1,
                                              cgroup->systemd_slice);
    if (result >= 0)
        result = library->sd_bus_message_append(message, "(sv)(sv)", "Slice", "s",
                                                cgroup->systemd_slice, "Delegate", "b", 1);
    if (result >= 0 && pid > 0)
        result = library->sd_bus_message_append(message, "(sv)", "PIDs", "au", 1, (uint32_t)pid);
    return result;
}

static int build_start(const struct connection *connection, sd_bus_message **message,
                       const struct cgroup *cgroup, pid_t pid, const struct config *config,
                       struct error *err)
{
    const struct bus_library *library = &connection->library;
    int result = library->sd_bus_message_new_method_call(connection->bus, message, DESTINATION,
                                                         OBJECT, INTERFACE, "StartTransientUnit");
    if (result >= 0)
        result = library->sd_bus_message_append(*message, "ss", cgroup->systemd_unit, "replace");
    if (result >= 0)
        result = library->sd_bus_message_open_container(*message, 'a', "(sv)");
    if (result >= 0)
        result = append_unit(library, *message, cgroup, pid);
    if (result < 0)
        return error_set(err, -result, "can't ask systemd for %s", cgroup->systemd_unit);
    const struct config_resources *resources = config ? config->linux_section.resources : NULL;
    if (bus_append_resources(library, *message, cgroup, resources, err) < 0 ||
        (config && append_annotations(library, *message, config, err) < 0))
        return -1;
    result = library->sd_bus_message_close_container(*message);
    if (result >= 0)
        result = library->sd_bus_message_append(*message, "a(sa(sv))", 0);
    return result < 0 ? error_set(err, -result, "can't ask systemd for %s", cgroup->systemd_unit)
                      : 0;
}

/* One try; 1 if the unit exists already. */
static int start_once(struct connection *connection, const struct cgroup *cgroup, pid_t pid,
                      const struct config *config, struct job *job, struct error *err)
{
    const struct bus_library *library = &connection->library;
    sd_bus_message *message = NULL, *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int result = build_start(connection, &message, cgroup, pid, config, err);
    if (result == 0) {
        int called = library->sd_bus_call(connection->bus, message, 0, &error, &reply);
        bool exists = called < 0 && error.name &&
                      strcmp(error.name, "org.freedesktop.systemd1.UnitExists") == 0;
        if (called < 0)
            result = report(connection, &error, called, err, "start", cgroup->systemd_unit);
        else
            result = wait_job(connection, job, reply, "start", cgroup->systemd_unit, err);
        if (exists)
            result = 1;
    }
    library->sd_bus_message_unref(message);
    library->sd_bus_message_unref(reply);
    return result;
}

int cgroup_systemd_start(const struct cgroup *cgroup, pid_t pid, const struct config *config,
                         struct error *err)
{
    scope_connection struct connection connection;
    struct job job;
    if (open_connection(&connection, cgroup->systemd_user, err) < 0 ||
        watch_jobs(&connection, &job, err) < 0)
        return -1;
    int result = start_once(&connection, cgroup, pid, config, &job, err);
    if (result == 1) { /* perhaps the failed one of a container that is gone */
        reset_failed(&connection, cgroup->systemd_unit);
        result = start_once(&connection, cgroup, pid, config, &job, err);
    }
    if (result < 0)
        reset_failed(&connection, cgroup->systemd_unit);
    return result ? -1 : 0;
}

int cgroup_systemd_update(const struct cgroup *cgroup, const struct config_resources *resources,
                          struct error *err)
{
    scope_connection struct connection connection;
    if (open_connection(&connection, cgroup->systemd_user, err) < 0)
        return -1;
    const struct bus_library *library = &connection.library;
    sd_bus_message *message = NULL, *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int result = library->sd_bus_message_new_method_call(connection.bus, &message, DESTINATION,
                                                         OBJECT, INTERFACE, "SetUnitProperties");
    if (result >= 0) /* runtime only: gone with the unit */
        result = library->sd_bus_message_append(message, "sb", cgroup->systemd_unit, 1);
    if (result >= 0)
        result = library->sd_bus_message_open_container(message, 'a', "(sv)");
    if (result < 0)
        error_set(err, -result, "can't ask systemd to change %s", cgroup->systemd_unit);
    else
        result = bus_append_resources(library, message, cgroup, resources, err);
    if (result >= 0 && (result = library->sd_bus_message_close_container(message)) >= 0) {
        result = library->sd_bus_call(connection.bus, message, 0, &error, &reply);
        if (result < 0)
            report(&connection, &error, result, err, "change", cgroup->systemd_unit);
    }
    library->sd_bus_message_unref(message);
    library->sd_bus_message_unref(reply);
    return result < 0 ? -1 : 0;
}

int cgroup_systemd_stop(const struct cgroup *cgroup, struct error *err)
{
    scope_connection struct connection connection;
    struct job job;
    const char *unit = cgroup->systemd_unit;
    if (open_connection(&connection, cgroup->systemd_user, err) < 0 ||
        watch_jobs(&connection, &job, err) < 0)
        return -1;
    const struct bus_library *library = &connection.library;
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int result = library->sd_bus_call_method(connection.bus, DESTINATION, OBJECT, INTERFACE,
                                             "StopUnit", &error, &reply, "ss", unit, "replace");
    bool gone =
        result < 0 && error.name && strcmp(error.name, "org.freedesktop.systemd1.NoSuchUnit") == 0;
    if (result < 0)
        result = report(&connection, &error, result, err, "stop", unit);
    else
        result = wait_job(&connection, &job, reply, "stop", unit, err);
    library->sd_bus_message_unref(reply);
    if (!gone)
        reset_failed(&connection, unit); /* else a failed one would stay for ever */
    return gone ? 0 : result;
}
