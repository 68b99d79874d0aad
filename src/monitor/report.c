/* What the monitor tells the world: status files, events, and who started it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "monitor/document.h"
#include "monitor/status.h"
#include "monitor/supervisor.h"

void report_status(struct supervisor *supervisor, bool persistent)
{
    const struct health_probe *probe = &supervisor->probe;
    bool has_check = supervisor->config.health.test.count > 0;
    scope_json json_t *health = has_check ? health_describe(&probe->health) : NULL;
    supervisor->status.restart = supervisor->config.restart;
    supervisor->status.restart_count = supervisor->restarts.count;
    /* A full disk doesn't end a container; readers see the last state that was written. */
    status_write(supervisor->directory, &supervisor->status, health, NULL);
    if (persistent)
        status_write(supervisor->config.state_directory, &supervisor->status, health, NULL);
}

void report_event(struct supervisor *supervisor, const char *action, const char *key,
                  const char *value)
{
    const struct monitor_config *config = &supervisor->config;
    scope_json json_t *attributes = config->labels ? json_copy(config->labels) : json_object();
    if (supervisor->name)
        json_object_set_new(attributes, "name", json_string(supervisor->name));
    if (config->image)
        json_object_set_new(attributes, "image", json_string(config->image));
    if (key)
        json_object_set_new(attributes, key, json_string(value));
    if (strcmp(action, "die") == 0) {
        char ran[32];
        snprintf(ran, sizeof ran, "%lld",
                 supervisor->has_begun ? (long long)(loop_now() - supervisor->began) / 1000 : 0LL);
        json_object_set_new(attributes, "execDuration", json_string(ran));
    }
    monitor_event_append(config->events, "container", action, config->id, attributes, NULL);
}

/* "+" and our pid, or "-", an exit code, a space and the error. See launch.c, which reads it. */
void report_launch(struct supervisor *supervisor, const struct error *err, int exit_code)
{
    char text[ERROR_TEXT_SIZE + 32];
    if (supervisor->launcher < 0)
        return;
    if (err)
        snprintf(text, sizeof text, "-%d %s", exit_code, err->text);
    else
        snprintf(text, sizeof text, "+%d", getpid());
    /* Whoever it was may be gone. */
    file_write_all(supervisor->launcher, text, strlen(text));
    close(scope_take_fd(&supervisor->launcher));
}
