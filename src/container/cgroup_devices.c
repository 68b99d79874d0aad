/* Which devices a container may use: what the rules mean, and setting it on v1.
 *
 * Rules are taken in order, and for each kind of access (read, write, mknod) the last rule that
 * names it and matches the device decides. After the configuration's rules come the default
 * devices (config-linux.md "Default Devices", and what runc adds), so they are always there.
 *
 * cgroup v1 can't say that directly: it has one default and a list of exceptions to it, each for
 * one device or a wildcard. So the rules are worked out into that form first; a rule that takes a
 * part out of a wildcard can't be expressed and is refused (the kernel would silently ignore it).
 * v2 has a program of ours, which can do it all (cgroup_devices_bpf.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

static const struct device_rule default_devices[] = {
    {true, 'c', -1, -1, DEVICE_MKNOD}, /* runc's: making any node is allowed, using it isn't */
    {true, 'b', -1, -1, DEVICE_MKNOD}, {true, 'c', 1, 3, DEVICE_ALL}, /* null */
    {true, 'c', 1, 5, DEVICE_ALL},                                    /* zero */
    {true, 'c', 1, 7, DEVICE_ALL},                                    /* full */
    {true, 'c', 1, 8, DEVICE_ALL},                                    /* random */
    {true, 'c', 1, 9, DEVICE_ALL},                                    /* urandom */
    {true, 'c', 5, 0, DEVICE_ALL},                                    /* tty */
    {true, 'c', 5, 2, DEVICE_ALL},                                    /* ptmx */
    {true, 'c', 136, -1, DEVICE_ALL},                                 /* pts, console */
    {true, 'c', 10, 200, DEVICE_ALL}, /* net/tun: runc's; VPN containers rely on it */
};
#define DEFAULT_COUNT (sizeof default_devices / sizeof *default_devices)

static unsigned int access_of(const struct config_device_rule *rule)
{
    return (rule->read ? DEVICE_READ : 0U) | (rule->write ? DEVICE_WRITE : 0U) |
           (rule->mknod ? DEVICE_MKNOD : 0U);
}

struct device_rule *device_rules_flatten(const struct config_resources *resources, size_t *count,
                                         bool *allow, struct error *err)
{
    size_t given = resources ? resources->device_rule_count : 0;
    struct device_rule *rules = memory_allocate(2 * given + DEFAULT_COUNT, sizeof *rules);
    *count = 0;
    *allow = false;
    for (size_t i = 0; i < given; i++) {
        const struct config_device_rule *rule = &resources->device_rules[i];
        if (rule->major > UINT32_MAX || rule->minor > UINT32_MAX) {
            error_set(err, ERANGE, "linux.resources.devices[%zu]: no device has number %lld:%lld",
                      i, (long long)rule->major, (long long)rule->minor);
            free(rules);
            return NULL;
        }
        unsigned int access = access_of(rule);
        if (rule->type == 'a' && rule->major < 0 && rule->minor < 0 && access == DEVICE_ALL) {
            *count = 0; /* nothing before it matters */
            *allow = rule->allow;
            continue;
        }
        struct device_rule flat = {rule->allow, rule->type, rule->major < 0 ? -1 : rule->major,
                                   rule->minor < 0 ? -1 : rule->minor, access};
        if (rule->type == 'a') {
            flat.type = 'b';
            rules[(*count)++] = flat;
            flat.type = 'c';
        }
        rules[(*count)++] = flat;
    }
    memcpy(rules + *count, default_devices, sizeof default_devices);
    *count += DEFAULT_COUNT;
    return rules;
}

/* Does rule a match every device that b matches? */
static bool covers(const struct device_rule *a, const struct device_rule *b)
{
    return a->type == b->type && (a->major < 0 || a->major == b->major) &&
           (a->minor < 0 || a->minor == b->minor);
}

/* Is there a device that both match? */
static bool overlap(const struct device_rule *a, const struct device_rule *b)
{
    return a->type == b->type && (a->major < 0 || b->major < 0 || a->major == b->major) &&
           (a->minor < 0 || b->minor < 0 || a->minor == b->minor);
}

static void print_rule(char *text, size_t size, const struct device_rule *rule)
{
    char major[24] = "*", minor[24] = "*";
    if (rule->major >= 0)
        snprintf(major, sizeof major, "%lld", (long long)rule->major);
    if (rule->minor >= 0)
        snprintf(minor, sizeof minor, "%lld", (long long)rule->minor);
    snprintf(text, size, "%c %s:%s %s%s%s", rule->type, major, minor,
             rule->access & DEVICE_READ ? "r" : "", rule->access & DEVICE_WRITE ? "w" : "",
             rule->access & DEVICE_MKNOD ? "m" : "");
}

/* A rule that says what the default says takes away from the exceptions. */
static int remove_exceptions(struct device_policy *policy, const struct device_rule *rule,
                             struct error *err)
{
    for (size_t i = 0; i < policy->count; i++) {
        struct device_rule *exception = &policy->exceptions[i];
        if (!(exception->access & rule->access) || !overlap(exception, rule))
            continue;
        if (!covers(rule, exception)) {
            char new[80], old[80];
            print_rule(new, sizeof new, rule);
            print_rule(old, sizeof old, exception);
            return error_set(
                err, 0, "linux.resources.devices: cgroup v1 can't %s '%s' after it %s '%s'",
                rule->allow ? "allow" : "deny", new, exception->allow ? "allowed" : "denied", old);
        }
        exception->access &= ~rule->access;
    }
    return 0;
}

static void add_exception(struct device_policy *policy, const struct device_rule *rule)
{
    for (size_t i = 0; i < policy->count; i++) {
        struct device_rule *exception = &policy->exceptions[i];
        if (covers(exception, rule) && covers(rule, exception)) {
            exception->access |= rule->access;
            return;
        }
    }
    policy->exceptions[policy->count++] = *rule;
}

int device_policy_build(struct device_policy *policy, const struct config_resources *resources,
                        struct error *err)
{
    size_t count;
    policy->count = 0;
    scope_free struct device_rule *rules =
        device_rules_flatten(resources, &count, &policy->allow, err);
    if (!rules)
        return -1;
    scope_free struct device_rule *exceptions = memory_allocate(count, sizeof *exceptions);
    policy->exceptions = exceptions;
    for (size_t i = 0; i < count; i++)
        if (rules[i].allow != policy->allow)
            add_exception(policy, &rules[i]);
        else if (remove_exceptions(policy, &rules[i], err) < 0)
            return -1;
    /* The kernel wants all of an access from a single exception: each gets what wider ones give,
     * and those that add nothing to a wider one go. */
    size_t kept = 0;
    for (size_t i = 0; i < policy->count; i++) {
        struct device_rule *exception = &policy->exceptions[i];
        unsigned int wider = 0;
        for (size_t j = 0; j < policy->count; j++)
            if (j != i && covers(&policy->exceptions[j], exception))
                wider |= policy->exceptions[j].access;
        bool adds = (exception->access & ~wider) != 0;
        exception->access |= adds && !policy->allow ? wider : 0;
        exception->access = adds ? exception->access : 0;
    }
    for (size_t i = 0; i < policy->count; i++)
        if (policy->exceptions[i].access)
            policy->exceptions[kept++] = policy->exceptions[i];
    policy->count = kept;
    policy->exceptions = scope_take_pointer(exceptions);
    return 0;
}

/* ---- v1 ---- */

/* Writes one rule for the kernel to devices.allow or devices.deny, opened when first needed. */
static int write_rule(const char *path, int files[2], bool allow, const char *text,
                      struct error *err)
{
    if (files[allow] < 0) {
        char name[1100];
        snprintf(name, sizeof name, "%s/devices.%s", path, allow ? "allow" : "deny");
        files[allow] = open(name, O_WRONLY | O_CLOEXEC);
        if (files[allow] < 0)
            return error_set(err, errno, "can't open %s", name);
    }
    if (file_write_all(files[allow], text, strlen(text)) < 0)
        return error_set(err, errno, "can't write '%s' to %s/devices.%s", text, path,
                         allow ? "allow" : "deny");
    return 0;
}

/* Reads devices.list. False if it can't be the base of small changes: everything is allowed
 * (then the kernel doesn't list the exceptions), or it isn't understood. */
static bool read_current(const char *path, struct device_policy *current)
{
    char name[1100];
    snprintf(name, sizeof name, "%s/devices.list", path);
    scope_free char *text = file_read_all(AT_FDCWD, name, 4 << 20, NULL, NULL);
    if (!text)
        return false;
    size_t lines = 1;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    current->exceptions = memory_allocate(lines, sizeof *current->exceptions);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char major[16], minor[16], access[8];
        struct device_rule *rule = &current->exceptions[current->count];
        if (!*line)
            continue;
        if (sscanf(line, "%c %15[^:]:%15s %7s", &rule->type, major, minor, access) != 4 ||
            rule->type == 'a')
            return false;
        rule->allow = true;
        rule->major = major[0] == '*' ? -1 : strtoll(major, NULL, 10);
        rule->minor = minor[0] == '*' ? -1 : strtoll(minor, NULL, 10);
        rule->access = (strchr(access, 'r') ? DEVICE_READ : 0U) |
                       (strchr(access, 'w') ? DEVICE_WRITE : 0U) |
                       (strchr(access, 'm') ? DEVICE_MKNOD : 0U);
        current->count++;
    }
    return true;
}

/* What policy a grants for exactly the devices of rule. */
static unsigned int granted(const struct device_policy *policy, const struct device_rule *rule)
{
    for (size_t i = 0; i < policy->count; i++)
        if (covers(&policy->exceptions[i], rule) && covers(rule, &policy->exceptions[i]))
            return policy->exceptions[i].access;
    return 0;
}

/* Writes what of rules' exceptions (all allowing) the other policy hasn't. */
static int write_difference(const char *path, int files[2], const struct device_policy *rules,
                            const struct device_policy *other, bool allow, struct error *err)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct device_rule rule = rules->exceptions[i];
        char text[80];
        rule.access &= ~granted(other, &rule);
        print_rule(text, sizeof text, &rule);
        if (rule.access && write_rule(path, files, allow, text, err) < 0)
            return -1;
    }
    return 0;
}

/* A running container keeps the devices that stay allowed all the while: only the differences
 * are written. (A new one has nothing to lose, and its list needn't be read.) */
static int set_v1(const char *path, const struct device_policy *policy, bool is_update,
                  struct error *err)
{
    scope_close int deny = -1, allow = -1;
    int files[2] = {-1, -1};
    struct device_policy current = {0}, none = {0};
    bool incremental = is_update && !policy->allow && read_current(path, &current);
    if (!incremental)
        current.count = 0;
    int result = 0;
    if (incremental)
        result = write_difference(path, files, &current, policy, false, err);
    else
        result = write_rule(path, files, policy->allow, "a", err);
    if (result == 0)
        result = write_difference(path, files, policy, incremental ? &current : &none,
                                  !policy->allow, err);
    free(current.exceptions);
    deny = files[0];
    allow = files[1];
    return result;
}

/* ---- either ---- */

static int set_v2(const char *path, const struct config_resources *resources, struct error *err)
{
    size_t rule_count, count;
    bool allow;
    scope_free struct device_rule *rules =
        device_rules_flatten(resources, &rule_count, &allow, err);
    if (!rules)
        return -1;
    scope_free struct bpf_insn *program = device_program_build(rules, rule_count, allow, &count);
    return device_program_attach(path, program, count, err);
}

int cgroup_set_devices(const struct cgroup *cgroup, const struct config_resources *resources,
                       bool is_update, struct error *err)
{
    if (is_update && (!resources || !resources->device_rule_count))
        return 0;
    const struct cgroup_hierarchy *v1 = cgroup_find_v1(cgroup, "devices");
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(cgroup);
    if (!v1 && !v2) {
        if (cgroup->rootless)
            return 0;
        return error_set(err, 0,
                         "can't limit the container's devices: the host has no devices cgroup");
    }
    int result;
    if (v1) {
        struct device_policy policy;
        if (device_policy_build(&policy, resources, err) < 0)
            return -1;
        result = set_v1(v1->path, &policy, is_update, err);
        free(policy.exceptions);
    } else {
        result = set_v2(v2->path, resources, err);
    }
    /* Without root the kernel refuses; but then no device can be made either. */
    return cgroup->rootless ? 0 : result;
}
