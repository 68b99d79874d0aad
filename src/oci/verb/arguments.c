/* What several verbs read from the command line and the environment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "oci/verb/verb.h"

/* The shift that a unit means, or -1. Kubernetes and runc write M, m, MB and MiB alike. */
static int shift_of(const char *unit)
{
    static const char prefixes[] = "kmgtp";
    if (!*unit || strcasecmp(unit, "b") == 0)
        return 0;
    const char *prefix = strchr(prefixes, *unit >= 'A' && *unit <= 'Z' ? *unit + 32 : *unit);
    unit++;
    if (!prefix || (*unit && strcasecmp(unit, "b") != 0 && strcasecmp(unit, "ib") != 0))
        return -1;
    return 10 * (int)(prefix - prefixes + 1);
}

static int read_number(const struct verb_context *context, const char *flag, bool bytes,
                       long long minimum, long long maximum, long long *number, struct error *err)
{
    const char *text = command_value(context->line, flag);
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    int shift = bytes ? shift_of(end) : *end ? -1 : 0;
    if (end == text || shift < 0 || errno || __builtin_mul_overflow(value, 1LL << shift, &value))
        return error_set(err, 0, "--%s: expected a whole number%s, found '%s'", flag,
                         bytes ? " (units: k, m, g, t)" : "", text);
    if (value < minimum || value > maximum)
        return error_set(err, 0, "--%s: %lld is not between %lld and %lld", flag, value, minimum,
                         maximum);
    *number = value;
    return 0;
}

int verb_number(const struct verb_context *context, const char *flag, long long minimum,
                long long maximum, long long *number, struct error *err)
{
    return read_number(context, flag, false, minimum, maximum, number, err);
}

int verb_bytes(const struct verb_context *context, const char *flag, long long minimum,
               long long maximum, long long *number, struct error *err)
{
    return read_number(context, flag, true, minimum, maximum, number, err);
}

const char *verb_absolute_path(const struct verb_context *context, const char *path)
{
    if (!path || *path == '/')
        return path;
    char *directory = getcwd(NULL, 0);
    if (!directory)
        return path;
    const char *absolute = arena_format(&context->line->arena, "%s/%s", directory, path);
    free(directory);
    return absolute;
}

int verb_listen_fds(void)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    if (!count || (pid && atol(pid) != getpid()))
        return 0;
    long number = strtol(count, NULL, 10);
    return number > 0 && number < 4096 ? (int)number : 0;
}
