#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/monitor.h"

#define EVENTS_SIZE_LIMIT (4 << 20)

/* Of several who find the file too large at once, one renames it: the others see that its name is
 * another file's by then. Who has opened it before writes into events.1: nothing is lost. */
static void rotate(int fd, const char *path)
{
    struct stat ours, named;
    if (file_lock(fd, LOCK_EX) < 0)
        return;
    if (fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino) {
        scope_free char *old = memory_format("%s.1", path);
        rename(path, old);
    }
    flock(fd, LOCK_UN);
}

static json_t *describe(const char *type, const char *action, const char *id,
                        const json_t *attributes)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *image = json_string_value(json_object_get(attributes, "image"));
    json_t *event = json_object();
    if (strcmp(type, "container") == 0) {
        json_object_set_new(event, "status", json_string(action));
        json_object_set_new(event, "id", json_string(id));
        json_object_set_new(event, "from", json_string(image ? image : ""));
    }
    json_object_set_new(event, "Type", json_string(type));
    json_object_set_new(event, "Action", json_string(action));
    json_t *actor = json_object();
    json_object_set_new(actor, "ID", json_string(id));
    json_object_set_new(actor, "Attributes",
                        attributes ? json_incref((json_t *)attributes) : json_object());
    json_object_set_new(event, "Actor", actor);
    json_object_set_new(event, "scope", json_string("local"));
    json_object_set_new(event, "time", json_integer(now.tv_sec));
    json_object_set_new(event, "timeNano",
                        json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec));
    return event;
}

int monitor_event_append(const char *path, const char *type, const char *action, const char *id,
                         const json_t *attributes, struct error *err)
{
    scope_json json_t *event = describe(type, action, id, attributes);
    scope_free char *text = json_dumps(event, JSON_COMPACT);
    if (!text)
        return error_set(err, ENOMEM, "can't describe an event of %s %s", type, id);
    scope_free char *line = memory_format("%s\n", text);
    scope_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "can't open %s", path);
    ssize_t written = write(fd, line, strlen(line));
    if (written < 0)
        return error_set(err, errno, "can't write to %s", path);
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_size >= EVENTS_SIZE_LIMIT)
        rotate(fd, path);
    if ((size_t)written < strlen(line))
        return error_set(err, ENOSPC, "can't write all of an event to %s", path);
    return 0;
}
