/* The systemd unit that starts containers at boot, and what systemctl is told of it. */
#ifndef HULL_CLI_SERVICE_UNIT_H
#define HULL_CLI_SERVICE_UNIT_H

#include <stdbool.h>

#include "cli/verb.h"

#define SERVICE_UNIT_NAME "hull.service"

/* The unit's text, for the context's directories; the caller frees. NULL: *err says why not. */
char *service_unit_compose(const struct cli_context *context, bool for_user, struct error *err);
/* Whether text is a unit that service_unit_compose() has made. */
bool service_unit_is_ours(const char *text);

enum service_told {
    SERVICE_DONE,
    SERVICE_FAILED,  /* systemctl has said why */
    SERVICE_MISSING, /* there is no systemctl */
};
/* Executes systemctl, with --user if for_user; quiet: what it complains of goes nowhere. */
enum service_told service_tell_systemd(bool for_user, const char *action, const char *unit,
                                       bool quiet);

#endif
