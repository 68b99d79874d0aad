/* --security-opt, --cap-add, --cap-drop and --isolation. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/scope.h"
#include "cli/run_flags_internal.h"

#define PROFILE_LIMIT (4 << 20)

/* The settings hold the profile itself: its file may be gone when the container starts again. */
static int add_profile(struct run_flags *flags, const char *flag, const char *value,
                       const char *path)
{
    struct error why = {0};
    json_error_t json_why;
    scope_free char *text = file_read_all(AT_FDCWD, path, PROFILE_LIMIT, NULL, &why);
    if (!text)
        return run_flags_fail(flags, flag, value, "%s", why.text);
    json_t *profile = json_loads(text, JSON_REJECT_DUPLICATES, &json_why);
    if (!profile)
        return run_flags_fail(flags, flag, value, "line %d: %s", json_why.line, json_why.text);
    scope_free char *compact = json_dumps(profile, JSON_COMPACT);
    json_decref(profile);
    if (!compact)
        return run_flags_fail(flags, flag, value, "a profile is a JSON object");
    json_array_append_new(run_flags_list(flags->host, "SecurityOpt"),
                          json_sprintf("seccomp=%s", compact));
    return 0;
}

static bool is_known_option(const char *value)
{
    static const char *const words[] = {"no-new-privileges",       "no-new-privileges=true",
                                        "no-new-privileges=false", "no-new-privileges:true",
                                        "no-new-privileges:false", "systempaths=unconfined",
                                        "seccomp=unconfined",      "seccomp=builtin"};
    static const char *const prefixes[] = {"apparmor=", "apparmor:", "label=", "label:"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(value, prefixes[i], length) == 0 && value[length])
            return true;
    }
    return false;
}

static int add_option(struct run_flags *flags, const char *flag, const char *value)
{
    scope_free char *text = memory_copy_string(value);
    if (strncmp(text, "seccomp:", 8) == 0)
        text[7] = '=';
    if (is_known_option(text)) {
        json_array_append_new(run_flags_list(flags->host, "SecurityOpt"),
                              run_flags_text(text, strlen(text)));
        return 0;
    }
    if (strncmp(text, "seccomp=", 8) == 0 && text[8])
        return add_profile(flags, flag, value, text + 8);
    return run_flags_fail(flags, flag, value,
                          "expected no-new-privileges, seccomp=FILE|unconfined, "
                          "apparmor=PROFILE, label=OPTION or systempaths=unconfined");
}

/* "net_admin" is CAP_NET_ADMIN; ALL stays. Sorted, each once, as docker's client sends them. */
static void insert_capability(json_t *list, const char *name)
{
    size_t at = 0;
    for (; at < json_array_size(list); at++) {
        int order = strcmp(json_string_value(json_array_get(list, at)), name);
        if (order == 0)
            return;
        if (order > 0)
            break;
    }
    json_array_insert_new(list, at, json_string(name));
}

static int add_capability(struct run_flags *flags, const char *flag, const char *value)
{
    for (const char *at = value; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return run_flags_fail(flags, flag, value, "not a capability, such as NET_ADMIN");
    if (!*value)
        return run_flags_fail(flags, flag, value, "a capability is missing");
    bool is_whole = strcasecmp(value, "ALL") == 0 || strncasecmp(value, "CAP_", 4) == 0;
    scope_free char *name = memory_format("%s%s", is_whole ? "" : "CAP_", value);
    for (char *at = name; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    bool adds = strcmp(flag, "cap-add") == 0;
    insert_capability(run_flags_list(flags->host, adds ? "CapAdd" : "CapDrop"), name);
    return 0;
}

/* A flag of virtual machines. */
static int set_of_machine(struct run_flags *flags, const char *flag, const char *member,
                          bool is_machine)
{
    const char *value = command_value(flags->line, flag);
    if (value && !is_machine)
        return run_flags_fail(flags, flag, value, "only --isolation vm has one");
    if (value)
        json_object_set_new(flags->host, member, json_string(value));
    return 0;
}

int run_flags_add_security(struct run_flags *flags)
{
    const char *level = command_value(flags->line, "isolation");
    bool is_machine = level && strcmp(level, "vm") == 0;
    if (level && *level && !is_machine && strcmp(level, "default") != 0 &&
        strcmp(level, "container") != 0)
        return run_flags_fail(flags, "isolation", level, "the levels are container and vm");
    if (set_of_machine(flags, "kernel", "Kernel", is_machine) < 0 ||
        set_of_machine(flags, "engine", "Engine", is_machine) < 0)
        return -1;
    if (level && *level)
        json_object_set_new(flags->host, "Isolation", json_string(level));
    if (run_flags_for_each(flags, "cap-add", add_capability) < 0 ||
        run_flags_for_each(flags, "cap-drop", add_capability) < 0)
        return -1;
    return run_flags_for_each(flags, "security-opt", add_option);
}
