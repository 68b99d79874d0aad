#include "container/container.h"
#include "oci/verb/verb.h"

int verb_exec(struct verb_context *context, struct error *err)
{
    struct command_line *line = context->line;
    const char **env, **capabilities, **gids, **cgroups;
    size_t env_count = command_values(line, "env", &env);
    size_t capability_count = command_values(line, "cap", &capabilities);
    size_t gid_count = command_values(line, "additional-gids", &gids);
    size_t cgroup_count = command_values(line, "cgroup", &cgroups);
    long long preserve_fds = 0;
    if (verb_number(context, "preserve-fds", 0, 65536, &preserve_fds, err) < 0)
        return -1;
    struct container_exec_options options = {
        .root = context->root,
        .id = verb_id(context),
        .process_file = command_value(line, "process"),
        .args = (const char *const *)line->arguments + 1,
        .arg_count = (size_t)line->argument_count - 1,
        .env = env,
        .env_count = env_count,
        .capabilities = capabilities,
        .capability_count = capability_count,
        .cwd = command_value(line, "cwd"),
        .user = command_value(line, "user"),
        .additional_gids = gids,
        .additional_gid_count = gid_count,
        .apparmor_profile = command_value(line, "apparmor"),
        .selinux_label = command_value(line, "process-label"),
        .no_new_privileges = command_given(line, "no-new-privs"),
        .terminal = command_given(line, "tty"),
        .console_socket = command_value(line, "console-socket"),
        .pidfd_socket = command_value(line, "pidfd-socket"),
        .pid_file = command_value(line, "pid-file"),
        .cgroups = cgroups,
        .cgroup_count = cgroup_count,
        .preserve_fds = (int)preserve_fds,
        .listen_fds = verb_listen_fds(),
        .ignore_paused = command_given(line, "ignore-paused"),
        .detach = command_given(line, "detach"),
    };
    if (!options.process_file && options.arg_count == 0)
        return error_set(err, 0, "a command is missing (or --process FILE)");
    if (options.process_file && options.arg_count > 0)
        return error_set(err, 0, "with --process, the command comes from the file");
    return container_exec(&options, &context->exit_status, err);
}
