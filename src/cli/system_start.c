/* What the unit of `hull system service` executes when the machine has come up. */
#include "cli/container_verb.h"

static int run_system_start(struct cli_context *context, struct error *err)
{
    scope_engine struct engine *engine = NULL;
    if (container_verb_open(context, &engine, err) == 0 && engine_reconcile(engine, true, err) == 0)
        return 0;
    context->exit_status = 1;
    return -1;
}

const struct cli_verb cli_system_start = {
    .command = {.name = "system start",
                .summary = "after a reboot, start the containers that shall restart",
                .description =
                    "Notes that containers ended with the machine, removes what was left of them, "
                    "and starts those of --restart always, of unless-stopped that nobody stopped, "
                    "and of on-failure that ran. 'hull system service install' has it done at each "
                    "boot."},
    .run = run_system_start,
};
