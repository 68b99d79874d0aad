#include "oci/verb/container_options.h"

int container_options_read(struct container_options *options, struct verb_context *context,
                           struct error *err)
{
    const struct command_line *line = context->line;
    long long preserve_fds = 0;
    if (verb_number(context, "preserve-fds", 0, 65536, &preserve_fds, err) < 0)
        return -1;
    *options = (struct container_options){
        .root = context->root,
        .id = verb_id(context),
        /* Relative paths are the caller's: we go to the bundle. */
        .bundle = command_value(line, "bundle"),
        .console_socket = verb_absolute_path(context, command_value(line, "console-socket")),
        .pidfd_socket = verb_absolute_path(context, command_value(line, "pidfd-socket")),
        .pid_file = verb_absolute_path(context, command_value(line, "pid-file")),
        .preserve_fds = (int)preserve_fds,
        .listen_fds = verb_listen_fds(),
        .no_pivot = command_given(line, "no-pivot"),
        .no_new_keyring = command_given(line, "no-new-keyring"),
        .systemd_cgroup = context->systemd_cgroup,
        .rootless = context->rootless,
        .warnings = context->warnings,
    };
    return 0;
}
