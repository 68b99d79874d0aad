/* The verbs of `hull`: one file each, with its line of the program's description beside what it
 * does. A verb is a thin layer: it reads flags, calls engine, image, network or volume, prints. */
#ifndef HULL_CLI_VERB_H
#define HULL_CLI_VERB_H

#include "base/command.h"
#include "base/error.h"
#include "base/warning.h"

struct cli_context {
    struct command_line *line;
    const struct warnings *warnings; /* onto standard error */
    const char *root;                /* what survives a reboot: images, containers, volumes */
    const char *run_root;            /* what doesn't: sockets, pids, locks */
    int exit_status;                 /* what the verb wants the process to exit with, 0 … 255 */
};

struct cli_verb {
    struct command_verb command; /* first: the parser's tables point at it */
    /* 0, or -1 with the error that main prints; exit_status is then 125 unless it was set. */
    int (*run)(struct cli_context *context, struct error *err);
    bool runs_as_user; /* needs no user namespace where the user isn't root */
};

extern const struct command_program cli_program;

extern const struct cli_verb cli_attach;
extern const struct cli_verb cli_commit;
extern const struct cli_verb cli_container_cleanup;
extern const struct cli_verb cli_container_inspect;
extern const struct cli_verb cli_container_prune;
extern const struct cli_verb cli_cp;
extern const struct cli_verb cli_create;
extern const struct cli_verb cli_diff;
extern const struct cli_verb cli_events;
extern const struct cli_verb cli_exec;
extern const struct cli_verb cli_export;
extern const struct cli_verb cli_history;
extern const struct cli_verb cli_image_inspect;
extern const struct cli_verb cli_image_prune;
extern const struct cli_verb cli_image_referrers;
extern const struct cli_verb cli_images;
extern const struct cli_verb cli_import;
extern const struct cli_verb cli_info;
extern const struct cli_verb cli_inspect;
extern const struct cli_verb cli_kernel_ls;
extern const struct cli_verb cli_kernel_pull;
extern const struct cli_verb cli_kernel_rm;
extern const struct cli_verb cli_kernel_use;
extern const struct cli_verb cli_kill;
extern const struct cli_verb cli_load;
extern const struct cli_verb cli_login;
extern const struct cli_verb cli_logout;
extern const struct cli_verb cli_logs;
extern const struct cli_verb cli_network_connect;
extern const struct cli_verb cli_network_create;
extern const struct cli_verb cli_network_disconnect;
extern const struct cli_verb cli_network_inspect;
extern const struct cli_verb cli_network_ls;
extern const struct cli_verb cli_network_prune;
extern const struct cli_verb cli_network_rm;
extern const struct cli_verb cli_pause;
extern const struct cli_verb cli_port;
extern const struct cli_verb cli_ps;
extern const struct cli_verb cli_pull;
extern const struct cli_verb cli_push;
extern const struct cli_verb cli_rename;
extern const struct cli_verb cli_restart;
extern const struct cli_verb cli_rm;
extern const struct cli_verb cli_rmi;
extern const struct cli_verb cli_run;
extern const struct cli_verb cli_save;
extern const struct cli_verb cli_start;
extern const struct cli_verb cli_stats;
extern const struct cli_verb cli_stop;
extern const struct cli_verb cli_system_check;
extern const struct cli_verb cli_system_df;
extern const struct cli_verb cli_system_prune;
extern const struct cli_verb cli_system_service;
extern const struct cli_verb cli_system_start;
extern const struct cli_verb cli_tag;
extern const struct cli_verb cli_top;
extern const struct cli_verb cli_unpause;
extern const struct cli_verb cli_update;
extern const struct cli_verb cli_version;
extern const struct cli_verb cli_volume_create;
extern const struct cli_verb cli_volume_inspect;
extern const struct cli_verb cli_volume_ls;
extern const struct cli_verb cli_volume_prune;
extern const struct cli_verb cli_volume_rm;
extern const struct cli_verb cli_wait;

#endif
