#include "container/exec_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

#define PROCESS_LIMIT (4u << 20)

static int parse_id(const char *text, const char **end, uint32_t *id)
{
    char *after;
    errno = 0;
    unsigned long value = strtoul(text, &after, 10);
    if (after == text || errno || value >= UINT32_MAX || *text == '-' || *text == '+')
        return -1;
    *end = after;
    *id = (uint32_t)value;
    return 0;
}

static int apply_user(struct config_process *process, const char *user, struct error *err)
{
    const char *end;
    if (parse_id(user, &end, &process->uid) == 0 &&
        (!*end || (*end == ':' && parse_id(end + 1, &end, &process->gid) == 0 && !*end)))
        return 0;
    return error_set(err, 0, "--user: expected UID[:GID] as numbers, found '%s'", user);
}

static int apply_groups(struct exec_process *made, const struct container_exec_options *options,
                        struct error *err)
{
    struct config_process *process = made->process;
    size_t count = process->additional_gid_count;
    gid_t *all =
        arena_allocate(&made->config.arena, count + options->additional_gid_count, sizeof *all);
    if (count)
        memcpy(all, process->additional_gids, count * sizeof *all);
    for (size_t i = 0; i < options->additional_gid_count; i++) {
        const char *end;
        if (parse_id(options->additional_gids[i], &end, &all[count++]) < 0 || *end)
            return error_set(err, 0, "--additional-gids: expected a number, found '%s'",
                             options->additional_gids[i]);
    }
    process->additional_gids = all;
    process->additional_gid_count = count;
    return 0;
}

static void append(struct exec_process *made, struct config_strings *strings,
                   const char *const *more, size_t count)
{
    const char **all = arena_allocate(&made->config.arena, strings->count + count + 1, sizeof *all);
    if (strings->count)
        memcpy(all, strings->items, strings->count * sizeof *all);
    if (count)
        memcpy(all + strings->count, more, count * sizeof *all);
    strings->items = all; /* NULL-terminated, as the arena's memory is zeroed */
    strings->count += count;
}

static int apply_capabilities(struct exec_process *made,
                              const struct container_exec_options *options, struct error *err)
{
    struct config_process *process = made->process;
    if (options->capability_count && !process->capabilities)
        process->capabilities =
            arena_allocate(&made->config.arena, 1, sizeof *process->capabilities);
    for (size_t i = 0; i < options->capability_count; i++) {
        int number = config_capability_number(options->capabilities[i]);
        if (number < 0)
            return error_set(err, 0, "--cap: unknown capability '%s'", options->capabilities[i]);
        uint64_t bit = UINT64_C(1) << number;
        process->capabilities->sets[CONFIG_CAPABILITY_BOUNDING] |= bit;
        process->capabilities->sets[CONFIG_CAPABILITY_EFFECTIVE] |= bit;
        process->capabilities->sets[CONFIG_CAPABILITY_PERMITTED] |= bit;
        /* As in runc: no ambient capability without an inheritable one, and exec adds none. */
        if (process->capabilities->sets[CONFIG_CAPABILITY_INHERITABLE])
            process->capabilities->sets[CONFIG_CAPABILITY_AMBIENT] |= bit;
    }
    return 0;
}

/* As in runc: without --process, the container's own process with other arguments. */
static int apply_options(struct exec_process *made, const struct container_exec_options *options,
                         struct error *err)
{
    struct config_process *process = made->process;
    if (options->arg_count) {
        process->args.count = 0;
        append(made, &process->args, options->args, options->arg_count);
    }
    append(made, &process->env, options->env, options->env_count);
    if (options->cwd) {
        if (options->cwd[0] != '/')
            return error_set(err, 0, "--cwd: '%s' is not absolute", options->cwd);
        process->cwd = options->cwd;
    }
    if (options->apparmor_profile)
        process->apparmor_profile = options->apparmor_profile;
    if (options->selinux_label)
        process->selinux_label = options->selinux_label;
    process->no_new_privileges |= options->no_new_privileges;
    process->terminal = options->terminal;
    if (options->user && apply_user(process, options->user, err) < 0)
        return -1;
    if (options->additional_gid_count && apply_groups(made, options, err) < 0)
        return -1;
    return apply_capabilities(made, options, err);
}

/* What the file leaves out is as for the container's own process, as in runc: no process in a
 * container has more rights or fewer limits than it was given because a client forgot a member. */
static void inherit(struct config_process *process, const struct config_process *container)
{
    if (!container)
        return;
    if (!process->capabilities)
        process->capabilities = container->capabilities;
    if (!process->apparmor_profile)
        process->apparmor_profile = container->apparmor_profile;
    if (!process->selinux_label)
        process->selinux_label = container->selinux_label;
    if (!process->oom_score_adj.given)
        process->oom_score_adj = container->oom_score_adj;
    if (!process->scheduler)
        process->scheduler = container->scheduler;
    if (process->rlimit_count == 0) {
        process->rlimit_count = container->rlimit_count;
        process->rlimits = container->rlimits;
    }
    if (!process->has_io_priority) {
        process->has_io_priority = container->has_io_priority;
        process->io_priority_class = container->io_priority_class;
        process->io_priority = container->io_priority;
    }
    if (!process->has_umask) {
        process->has_umask = container->has_umask;
        process->umask = container->umask;
    }
}

static int read_process(struct exec_process *made, const char *path, struct error *err)
{
    size_t length;
    made->file_text = file_read_all(AT_FDCWD, path, PROCESS_LIMIT, &length, err);
    if (!made->file_text)
        return -1;
    if (config_parse_process(&made->file, made->file_text, length, err) < 0)
        return error_wrap(err, "%s", path);
    made->process = made->file.process;
    inherit(made->process, made->config.process);
    return 0;
}

int exec_process_make(struct exec_process *made, const struct container_exec_options *options,
                      const struct record *record, struct error *err)
{
    memset(made, 0, sizeof *made);
    if (!record->config_text)
        return error_set(err, 0, "the container's record has no configuration");
    if (config_parse(&made->config, record->config_text, record->config_length, err) < 0)
        return error_wrap(err, "the recorded configuration");
    if (options->process_file)
        return read_process(made, options->process_file, err);
    made->process = made->config.process;
    if (!made->process)
        return error_set(err, 0, "the container's configuration has no process: use --process");
    return apply_options(made, options, err);
}

void exec_process_release(struct exec_process *made)
{
    config_release(&made->config);
    config_release(&made->file);
    free(made->file_text);
}

/* ---- cgroup ---- */

static bool leaves_its_parent(const char *path)
{
    for (const char *at = path; *at;) {
        size_t length = strcspn(at, "/");
        if (length == 2 && strncmp(at, "..", 2) == 0)
            return true;
        at += length + strspn(at + length, "/");
    }
    return false;
}

static bool is_among(const char *controllers, const char *name, size_t length)
{
    for (const char *at = controllers; *at;) {
        size_t one = strcspn(at, ",");
        if (one == length && strncmp(at, name, length) == 0)
            return true;
        at += one + (at[one] == ',');
    }
    return false;
}

static bool is_chosen(const struct cgroup_hierarchy *hierarchy, const char *controllers,
                      size_t length)
{
    if (length == 0)
        return true;
    scope_free char *list = memory_format("%.*s", (int)length, controllers);
    for (const char *at = list; *at;) {
        size_t one = strcspn(at, ",");
        if (is_among(hierarchy->controllers, at, one))
            return true;
        at += one + (at[one] == ',');
    }
    return false;
}

int exec_process_choose_cgroup(struct cgroup *cgroup, const char *choice, struct error *err)
{
    const char *colon = strchr(choice, ':');
    size_t controllers = colon ? (size_t)(colon - choice) : 0;
    const char *below = colon ? colon + 1 : choice;
    bool found = false;
    if (leaves_its_parent(below))
        return error_set(err, 0, "--cgroup: %s is not a sub cgroup path of the container's",
                         choice);
    below += strspn(below, "/");
    for (size_t i = 0; i < cgroup->count; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        if (!is_chosen(hierarchy, choice, controllers))
            continue;
        size_t length = strlen(hierarchy->path);
        if (length + strlen(below) + 2 > sizeof hierarchy->path)
            return error_set(err, ENAMETOOLONG, "--cgroup %s", choice);
        if (*below)
            snprintf(hierarchy->path + length, sizeof hierarchy->path - length, "/%s", below);
        struct stat status;
        if (stat(hierarchy->path, &status) < 0)
            return error_set(err, errno, "--cgroup: %s", hierarchy->path);
        found = true;
    }
    return found ? 0 : error_set(err, 0, "--cgroup: the container has no controller of %s", choice);
}

/* "0::/path" in /proc/PID/cgroup is the v2 cgroup, from the root of the hierarchy. */
static int open_cgroup_of(const struct cgroup_hierarchy *hierarchy, pid_t pid)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    scope_free char *text = file_read_all(AT_FDCWD, path, 1 << 16, NULL, NULL);
    char *line = text ? strstr(text, "0::/") : NULL;
    if (!line || (line != text && line[-1] != '\n'))
        return -1;
    line[strcspn(line, "\n")] = '\0';
    scope_free char *directory = memory_format("%s%s", hierarchy->mount_point, line + 3);
    size_t length = strlen(hierarchy->path);
    if (strncmp(directory, hierarchy->path, length) != 0 || leaves_its_parent(line + 3))
        return -1;
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int exec_process_open_cgroup(const struct cgroup *cgroup, pid_t init)
{
    int fd = cgroup_open_v2(cgroup);
    if (fd < 0)
        return -1;
    /* An inner node, one that hands controllers down, may hold no processes. */
    scope_free char *handed = file_read_all(fd, "cgroup.subtree_control", 4096, NULL, NULL);
    if (!handed || handed[strspn(handed, " \n")] == '\0')
        return fd;
    for (size_t i = 0; i < cgroup->count; i++) {
        int other = cgroup->hierarchies[i].v2 ? open_cgroup_of(&cgroup->hierarchies[i], init) : -1;
        if (other >= 0) {
            close(fd);
            return other;
        }
    }
    return fd;
}
