/* What several verbs read from the command line and the environment. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "oci/verb/verb.h"

int verb_number(const struct verb_context *context, const char *flag, long long minimum,
                long long maximum, long long *number, struct error *err)
{
    const char *text = command_value(context->line, flag);
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!*text || *end || errno)
        return error_set(err, 0, "--%s: expected a whole number, found '%s'", flag, text);
    if (value < minimum || value > maximum)
        return error_set(err, 0, "--%s: %lld is not between %lld and %lld", flag, value, minimum,
                         maximum);
    *number = value;
    return 0;
}

int verb_listen_fds(void)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    if (!count || (pid && atol(pid) != getpid()))
        return 0;
    long number = strtol(count, NULL, 10);
    return number > 0 && number < 4096 ? (int)number : 0;
}
