/* The boot document: what the host says once about the machine and the container in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

/* "vm.max_map_count" as /proc/sys/vm/max_map_count. These are the machine's own; those in the
 * configuration's linux.sysctl are set when the container is made. */
static int set_sysctls(const json_t *sysctls, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)sysctls, key, value)
    {
        scope_free char *path = memory_format("/proc/sys/%s", key);
        for (char *at = path + strlen("/proc/sys/"); *at; at++)
            *at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
        if (!json_is_string(value) || strstr(path, "/../"))
            return error_set(err, EINVAL, "sysctl %s: expected a name and a string", key);
        if (file_write_text(AT_FDCWD, path, json_string_value(value), err) < 0)
            return error_wrap(err, "sysctl %s", key);
    }
    return 0;
}

static int take_configuration(struct guest *guest, const json_t *spec, struct error *err)
{
    scope_free char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
    if (!text)
        return error_set(err, EINVAL, "spec: missing");
    if (config_parse(&guest->config, text, strlen(text), err) < 0)
        return error_wrap(err, "spec");
    if (guest->config.process && guest->config.process->args.count > 0) {
        const json_t *user = json_object_get(json_object_get(spec, "process"), "user");
        const char *username = json_string_value(json_object_get(user, "username"));
        guest->username = username ? arena_copy_string(&guest->config.arena, username) : NULL;
        return 0;
    }
    config_release(&guest->config);
    return error_set(err, EINVAL, "spec.process: missing");
}

static int prepare(struct guest *guest, const json_t *document, struct error *err)
{
    if (set_sysctls(json_object_get(document, "sysctl"), err) < 0 ||
        network_configure(json_object_get(document, "network"), err) < 0)
        return -1;
    const char *hostname = guest->config.hostname;
    if (hostname && sethostname(hostname, strlen(hostname)) < 0)
        return error_set(err, errno, "can't set the hostname '%s'", hostname);
    if (disks_mount(guest, json_object_get(document, "root"), err) < 0 ||
        disks_mount_shares(json_object_get(document, "shares"), err) < 0)
        return -1;
    return files_write(guest, json_object_get(document, "files"), err);
}

/* The machine's size limits everything else. */
static void limit_processes(const struct guest *guest)
{
    const struct config_resources *resources = guest->config.linux_section.resources;
    char text[24];
    if (!resources || !resources->pids_limit.given || resources->pids_limit.value <= 0)
        return;
    snprintf(text, sizeof text, "%lld", (long long)resources->pids_limit.value);
    file_write_text(guest->cgroup, "pids.max", text, NULL);
}

int boot_take(struct guest *guest, json_t *document, struct error *err)
{
    if (guest->is_booted)
        return error_set(err, EALREADY, "the machine has its configuration already");
    if (take_configuration(guest, json_object_get(document, "spec"), err) < 0)
        return -1;
    if (prepare(guest, document, err) < 0) {
        disks_unmount(NULL);
        config_release(&guest->config);
        return -1;
    }
    limit_processes(guest);
    modules_forget(guest->modules);
    guest->modules = -1;
    guest->is_booted = true;
    return 0;
}
