#include "container/resctrl_schemata.h"

#include <string.h>

#include "base/scope.h"

static void append_line(char **text, const char *line)
{
    if (!line || !*line)
        return;
    char *longer = memory_format("%s%s\n", *text, line);
    free(*text);
    *text = longer;
}

char *resctrl_schemata_join(const struct config_intel_rdt *rdt)
{
    char *text = memory_copy_string("");
    append_line(&text, rdt->l3_cache_schema);
    append_line(&text, rdt->mem_bw_schema);
    for (size_t i = 0; i < rdt->schemata.count; i++)
        append_line(&text, rdt->schemata.items[i]);
    return text;
}

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

/* Bandwidths (MB, SMBA) are decimal, bit masks of caches hexadecimal. */
static int value_base(const char *resource, size_t length)
{
    return length >= 2 && memmem(resource, length, "MB", 2) ? 10 : 16;
}

/* The value of domain in the resource's line of schemata; false if it isn't there. */
static bool find_value(const char *schemata, const char *resource, size_t resource_length,
                       unsigned long domain, unsigned long long *value)
{
    const char *line = schemata;
    while (*line) {
        const char *end = line + strcspn(line, "\n"), *at = skip_spaces(line);
        if (strncmp(at, resource, resource_length) == 0 && at[resource_length] == ':') {
            at += resource_length + 1;
            while (at < end) {
                char *after;
                bool same = strtoul(at, &after, 10) == domain && after != at;
                after += *after == '=';
                if (same) {
                    *value = strtoull(after, NULL, value_base(resource, resource_length));
                    return true;
                }
                at = after + strcspn(after, ";\n") + 1;
            }
        }
        line = *end ? end + 1 : end;
    }
    return false;
}

static int compare_line(const char *present, const char *line, struct error *err)
{
    const char *resource = skip_spaces(line);
    size_t resource_length = strcspn(resource, ":");
    if (!resource[resource_length])
        return error_set(err, 0, "schema '%s' has no ':'", line);
    const char *at = resource + resource_length + 1;
    while (*at) {
        char *after, *end;
        unsigned long domain = strtoul(at, &after, 10);
        if (after == at || *after != '=')
            return error_set(err, 0, "schema '%s' isn't DOMAIN=VALUE;DOMAIN=VALUE", line);
        unsigned long long value = strtoull(after + 1, &end, value_base(resource, resource_length));
        unsigned long long found;
        if (end == after + 1 || (*end && *end != ';'))
            return error_set(err, 0, "schema '%s' isn't DOMAIN=VALUE;DOMAIN=VALUE", line);
        if (!find_value(present, resource, resource_length, domain, &found) || found != value)
            return error_set(err, 0, "its schemata differ from '%s'", line);
        at = *end ? end + 1 : end;
    }
    return 0;
}

int resctrl_schemata_include(const char *present, const char *wanted, struct error *err)
{
    scope_free char *copy = memory_copy_string(wanted);
    char *rest = copy, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (*line && compare_line(present, line, err) < 0)
            return -1;
    }
    return 0;
}
