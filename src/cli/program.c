/* The command line of hull. The verbs, their flags and their meaning are docker's where hull has
 * the same thing. */
#include "cli/verb.h"

static const struct command_flag global_flags[] = {
    {.name = "root",
     .argument = "DIRECTORY",
     .help = "where images, containers and volumes are kept",
     .default_text = "/var/lib/hull, or $XDG_DATA_HOME/hull for users other than root"},
    {.name = "run-root",
     .argument = "DIRECTORY",
     .help = "where the state of what runs is kept; should be on a tmpfs",
     .default_text = "/run/hull, or $XDG_RUNTIME_DIR/hull for users other than root"},
    {0},
};

/* By name; --help lists them in this order. */
static const struct command_verb *const verbs[] = {
    &cli_attach.command,
    &cli_container_cleanup.command,
    &cli_create.command,
    &cli_history.command,
    &cli_image_inspect.command,
    &cli_image_prune.command,
    &cli_images.command,
    &cli_import.command,
    &cli_kill.command,
    &cli_load.command,
    &cli_login.command,
    &cli_logout.command,
    &cli_network_connect.command,
    &cli_network_create.command,
    &cli_network_disconnect.command,
    &cli_network_inspect.command,
    &cli_network_ls.command,
    &cli_network_prune.command,
    &cli_network_rm.command,
    &cli_pause.command,
    &cli_pull.command,
    &cli_push.command,
    &cli_restart.command,
    &cli_rm.command,
    &cli_rmi.command,
    &cli_run.command,
    &cli_save.command,
    &cli_start.command,
    &cli_stop.command,
    &cli_system_check.command,
    &cli_tag.command,
    &cli_unpause.command,
    &cli_version.command,
    &cli_volume_create.command,
    &cli_volume_inspect.command,
    &cli_volume_ls.command,
    &cli_volume_prune.command,
    &cli_volume_rm.command,
    NULL,
};

static const struct command_group groups[] = {
    {"container", "manage containers"},
    {"image", "manage images"},
    {"network", "manage networks"},
    {"system", "look after what hull keeps"},
    {"volume", "manage volumes"},
    {0},
};

const struct command_program cli_program = {
    .name = "hull",
    .summary = "run any OCI image at the isolation level that its workload needs",
    .flags = global_flags,
    .verbs = verbs,
    .groups = groups,
    .syntax = COMMAND_SYNTAX_POSIX,
};
