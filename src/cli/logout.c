#include <stdio.h>

#include "base/scope.h"
#include "cli/verb.h"
#include "image/registry.h"

static int run_logout(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    const struct registry_operations *registry = NULL;
    scope_free char *host =
        registry_parse_host(line->argument_count ? line->arguments[0] : "docker.io", err);
    context->exit_status = 1;
    if (!host || !(registry = registry_module_load(err)))
        return -1;
    int erased = registry->logout(host, err);
    if (erased < 0)
        return -1;
    printf("%s %s\n", erased ? "Removing login credentials for" : "Not logged in to", host);
    context->exit_status = 0;
    return 0;
}

const struct cli_verb cli_logout = {
    .command = {.name = "logout",
                .arguments = "[SERVER]",
                .summary = "log out from a registry",
                .description = "Forgets the credentials that are kept for SERVER, docker.io by "
                               "default.",
                .max_arguments = 1},
    .run = run_logout,
    .runs_as_user = true,
};
