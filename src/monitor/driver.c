#include "monitor/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/loop.h"
#include "base/scope.h"
#include "monitor/document.h"

#define MAX_ARGUMENTS 128

/* The last line of level error in the runtime's log, {"level":…,"msg":…}. */
static int read_error(const char *path, struct error *err)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
    char *rest = text;
    int found = -1;
    for (char *line; (line = strsep(&rest, "\n"));) {
        scope_json json_t *record = json_loads(line, 0, NULL);
        const char *level = json_string_value(json_object_get(record, "level"));
        const char *message = json_string_value(json_object_get(record, "msg"));
        if (level && message && strcmp(level, "error") == 0) {
            error_set(err, 0, "%s", message);
            found = 0;
        }
    }
    return found;
}

static void finish(struct child *child, int status)
{
    struct driver_call *call = loop_owner(child, struct driver_call, child);
    struct error err;
    call->was_killed = WIFSIGNALED(status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        call->done(call, NULL);
        return;
    }
    if (read_error(call->log, &err) < 0) {
        if (WIFSIGNALED(status))
            error_set(&err, 0, "%s was killed by signal %d", call->config->runtime,
                      WTERMSIG(status));
        else
            error_set(&err, 0, "%s failed with status %d", call->config->runtime,
                      WEXITSTATUS(status));
    }
    call->done(call, &err);
}

static size_t add_strings(const char **argv, size_t count, const struct monitor_strings *strings)
{
    for (size_t i = 0; i < strings->count && count < MAX_ARGUMENTS - 1; i++)
        argv[count++] = strings->items[i];
    return count;
}

void driver_start(struct driver_call *call, const char *const *arguments, const int streams[3])
{
    const struct monitor_config *config = call->config;
    const char *argv[MAX_ARGUMENTS];
    struct error err;
    size_t count = 0;
    scope_free char *log = memory_format("%s/%s", call->directory, call->log);
    unlink(log);
    const char *const first[] = {config->runtime, "--root", config->runtime_root, "--log", log,
                                 "--log-format",  "json"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        argv[count++] = first[i];
    count = add_strings(argv, count, &config->runtime_flags);
    while (*arguments && count < MAX_ARGUMENTS - 1)
        argv[count++] = *arguments++;
    argv[count] = NULL;
    call->child.ended = finish;
    call->was_killed = false;
    struct child_setup setup = {
        .streams = {streams[0], streams[1], streams[2]}, .mount_namespace = -1, .kept = call->lock};
    if (*arguments)
        error_set(&err, E2BIG, "the runtime's command line is too long");
    else if (children_spawn(call->children, &call->child, argv, &setup, &err) == 0)
        return;
    call->done(call, &err);
}

bool driver_is_busy(const struct driver_call *call)
{
    return call->child.pid != 0;
}

int driver_exit_code(const struct error *err)
{
    if (strstr(err->text, "executable file not found") ||
        strstr(err->text, "no such file or directory"))
        return 127;
    if (strstr(err->text, "permission denied") || strstr(err->text, "is a directory") ||
        strstr(err->text, "exec format error"))
        return 126;
    return 125;
}
