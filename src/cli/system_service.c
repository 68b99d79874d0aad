/* `hull system service`: containers that come up with the machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/service_unit.h"

#define UNIT_LIMIT 65536

static const struct command_flag flags[] = {
    {.name = "user", .help = "for your own containers, in your own systemd"},
    {.name = "directory",
     .argument = "DIRECTORY",
     .help = "where the unit goes",
     .default_text = "/etc/systemd/system, or $XDG_CONFIG_HOME/systemd/user with --user"},
    {0},
};

struct service {
    char *directory, *path; /* of the unit */
    bool for_user;
};

static void release(struct service *service)
{
    free(service->directory);
    free(service->path);
}

static int find_directory(const struct cli_context *context, struct service *service,
                          struct error *err)
{
    const char *given = command_value(context->line, "directory");
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (given)
        service->directory = memory_copy_string(given);
    else if (!service->for_user)
        service->directory = memory_copy_string("/etc/systemd/system");
    else if (base && base[0] == '/')
        service->directory = memory_format("%s/systemd/user", base);
    else if (home && home[0] == '/')
        service->directory = memory_format("%s/.config/systemd/user", home);
    else
        return error_set(err, 0, "neither XDG_CONFIG_HOME nor HOME says where your units are");
    service->path = memory_format("%s/" SERVICE_UNIT_NAME, service->directory);
    return 0;
}

/* 1: the unit is there; 0: it isn't; -1: something else is. */
static int look_for_unit(const struct service *service, struct error *err)
{
    struct error why;
    scope_free char *text = file_read_all(AT_FDCWD, service->path, UNIT_LIMIT, NULL, &why);
    if (!text && why.code == ENOENT)
        return 0;
    if (!text)
        return error_set(err, 0, "%s", why.text);
    if (service_unit_is_ours(text))
        return 1;
    return error_set(err, 0, "%s is there, and not hull's (move it away first)", service->path);
}

static int write_unit(const struct service *service, const char *text, struct error *err)
{
    scope_free char *beside = memory_format("%s.new", service->path);
    if (file_make_directories(service->directory, 0755, err) < 0)
        return -1;
    scope_close int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0 && file_write_all(fd, text, strlen(text)) == 0 && fsync(fd) == 0 &&
        rename(beside, service->path) == 0)
        return 0;
    error_set(err, errno, "can't write %s", service->path);
    unlink(beside);
    return -1;
}

/* Without a systemd that runs, as where an image of a machine is made, only enabling works. */
static int tell_of_install(const struct service *service, struct error *err)
{
    service_tell_systemd(service->for_user, "daemon-reload", NULL, true);
    switch (service_tell_systemd(service->for_user, "enable", service->path, false)) {
    case SERVICE_DONE:
        return 0;
    case SERVICE_MISSING:
        return error_set(err, 0,
                         "%s is written, but there is no systemctl: have 'hull system start' "
                         "executed at boot in another way",
                         service->path);
    case SERVICE_FAILED:
        break;
    }
    return error_set(err, 0, "%s is written, but 'systemctl enable' failed", service->path);
}

static int install(const struct cli_context *context, const struct service *service,
                   struct error *err)
{
    if (look_for_unit(service, err) < 0)
        return -1;
    scope_free char *text = service_unit_compose(context, service->for_user, err);
    if (!text || write_unit(service, text, err) < 0 || tell_of_install(service, err) < 0)
        return -1;
    printf("Installed %s: containers of --restart come up with the machine\n", service->path);
    if (service->for_user)
        printf("They do before you log in only after 'loginctl enable-linger'\n");
    return 0;
}

static int uninstall(const struct service *service, struct error *err)
{
    int found = look_for_unit(service, err);
    if (found == 0)
        return error_set(err, 0, "%s isn't installed", service->path);
    if (found < 0)
        return -1;
    enum service_told told =
        service_tell_systemd(service->for_user, "disable", SERVICE_UNIT_NAME, false);
    if (unlink(service->path) < 0)
        return error_set(err, errno, "can't remove %s", service->path);
    if (told == SERVICE_DONE)
        service_tell_systemd(service->for_user, "daemon-reload", NULL, true);
    printf("Removed %s\n", service->path);
    return 0;
}

static int show(struct cli_context *context, const struct service *service, struct error *err)
{
    int found = look_for_unit(service, err);
    if (found < 0)
        return -1;
    if (found == 0) {
        printf("%s isn't installed\n", service->path);
        context->exit_status = 1;
        return 0;
    }
    bool enabled = service_tell_systemd(service->for_user, "is-enabled", SERVICE_UNIT_NAME, true) ==
                   SERVICE_DONE;
    printf("%s is installed%s\n", service->path,
           enabled ? " and enabled" : ", but systemd doesn't have it enabled");
    context->exit_status = enabled ? 0 : 1;
    return 0;
}

static int run_system_service(struct cli_context *context, struct error *err)
{
    const char *action = context->line->arguments[0];
    struct service service = {.for_user = command_given(context->line, "user")};
    int result = find_directory(context, &service, err);
    if (result == 0) {
        if (strcmp(action, "install") == 0)
            result = install(context, &service, err);
        else if (strcmp(action, "remove") == 0)
            result = uninstall(&service, err);
        else if (strcmp(action, "status") == 0)
            result = show(context, &service, err);
        else
            result = error_set(err, 0, "'%s' is none of install, remove, status", action);
    }
    release(&service);
    if (result < 0)
        context->exit_status = 1;
    return result;
}

const struct cli_verb cli_system_service = {
    .command = {.name = "system service",
                .arguments = "install|remove|status",
                .summary = "have systemd start containers at boot",
                .description =
                    "Installs a systemd unit that, at boot, executes 'hull system start' with the "
                    "--root and --run-root given here. Nothing of it stays in memory.",
                .flags = flags,
                .min_arguments = 1,
                .max_arguments = 1},
    .run = run_system_service,
};
