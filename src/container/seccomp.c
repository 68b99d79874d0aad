#include "container/seccomp.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/seccomp_cache.h"
#include "container/seccomp_compile.h"
#include "container/seccomp_flags.h"

/* The container's process hands its listener to the runtime after the filter is in force, for
 * which it needs write(2): if that were to wait for the agent, who has no listener yet, it would
 * wait for ever. */
static int check_notify(const struct config_seccomp *seccomp, bool *notify, struct error *err)
{
    static const char notify_action[] = "SCMP_ACT_NOTIFY";
    *notify = false;
    if (strcmp(seccomp->default_action, notify_action) == 0)
        return error_set(err, 0, "linux.seccomp.defaultAction: %s can't be the default",
                         notify_action);
    for (size_t i = 0; i < seccomp->rule_count; i++) {
        const struct config_seccomp_rule *rule = &seccomp->rules[i];
        if (strcmp(rule->action, notify_action) != 0)
            continue;
        *notify = true;
        for (size_t name = 0; name < rule->names.count; name++) {
            if (strcmp(rule->names.items[name], "write") == 0)
                return error_set(err, 0, "linux.seccomp.syscalls: %s can't be used for write",
                                 notify_action);
        }
    }
    if (*notify && !seccomp->listener_path)
        return error_set(err, 0, "linux.seccomp: %s needs a listenerPath", notify_action);
    return 0;
}

static int compile_with_key(struct seccomp_program *program, const struct config_seccomp *seccomp,
                            const char *cache_directory, const struct seccomp_cache_key *key,
                            struct error *err)
{
    if (cache_directory && seccomp_cache_load(cache_directory, key, &program->filter))
        return 0;
    scope_free char *library_path = NULL;
    if (seccomp_compile_filter(seccomp, &program->filter, &library_path, err) < 0)
        return -1;
    if (cache_directory && library_path)
        seccomp_cache_store(cache_directory, key, library_path, &program->filter);
    return 0;
}

int seccomp_compile(struct seccomp_program *program, const struct config_seccomp *seccomp,
                    const char *cache_directory, struct error *err)
{
    *program = (struct seccomp_program){0};
    if (check_notify(seccomp, &program->notify, err) < 0 ||
        seccomp_flags_translate(seccomp, program->notify, &program->flags, err) < 0)
        return -1;
    struct seccomp_cache_key key = {0};
    if (cache_directory)
        seccomp_cache_make_key(&key, seccomp);
    int result = compile_with_key(program, seccomp, cache_directory, &key, err);
    seccomp_cache_release_key(&key);
    return result;
}

int seccomp_compile_section(struct seccomp_program *program, const struct config_seccomp *seccomp,
                            const char *state_directory, struct error *err)
{
    if (!seccomp)
        return 0;
    scope_free char *cache = memory_format("%s/.seccomp", state_directory);
    return seccomp_compile(program, seccomp, cache, err) < 0 ? error_wrap(err, "linux.seccomp") : 0;
}

void seccomp_program_release(struct seccomp_program *program)
{
    free(program->filter.filter);
    *program = (struct seccomp_program){0};
}
