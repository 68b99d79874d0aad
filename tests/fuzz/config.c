/* Fuzzes the configuration's parser. The first byte chooses the entry point, the rest is the
 * text. What was accepted is read from end to end, so that the sanitizers see a bad pointer, and
 * must keep the promises of oci/config.h; what was refused must say why on one line. */
#include <stdlib.h>
#include <string.h>

#include "oci/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the walk leaves its sum, so that no read is optimised away. */
static volatile size_t sink;

static void promise(bool kept)
{
    if (!kept)
        abort();
}

static void read_string(const char *text)
{
    if (text)
        sink += strlen(text);
}

static void read_bytes(const void *items, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sink += ((const unsigned char *)items)[i];
}

static void read_path(const char *path)
{
    promise(path && *path == '/');
    read_string(path);
}

static void read_strings(const struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++) {
        promise(strings->items[i]);
        read_string(strings->items[i]);
    }
}

static void read_environment(const struct config_strings *strings)
{
    read_strings(strings);
    for (size_t i = 0; i < strings->count; i++)
        promise(strchr(strings->items[i], '=') > strings->items[i]);
}

static void read_pairs(const struct config_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        promise(pairs->items[i].key && pairs->items[i].value);
        read_string(pairs->items[i].key);
        read_string(pairs->items[i].value);
    }
}

static void read_mappings(const struct config_id_mappings *mappings)
{
    for (size_t i = 0; i < mappings->count; i++)
        promise(mappings->items[i].size > 0);
}

static void read_process(const struct config_process *process)
{
    read_bytes(process, sizeof *process);
    promise(process->args.count > 0);
    read_strings(&process->args);
    promise(!process->args.items[process->args.count]);
    read_environment(&process->env);
    read_path(process->cwd);
    read_bytes(process->additional_gids,
               process->additional_gid_count * sizeof *process->additional_gids);
    if (process->capabilities)
        read_strings(&process->capabilities->unknown);
    for (size_t i = 0; i < process->rlimit_count; i++) {
        read_string(process->rlimits[i].name);
        promise(process->rlimits[i].soft <= process->rlimits[i].hard);
    }
    read_string(process->apparmor_profile);
    read_string(process->selinux_label);
    if (process->scheduler)
        read_bytes(process->scheduler, sizeof *process->scheduler);
    if (process->has_io_priority)
        promise(process->io_priority >= 0 && process->io_priority <= 7);
}

static void read_resources(const struct config_resources *resources)
{
    read_bytes(resources, sizeof *resources);
    read_pairs(&resources->unified);
    for (size_t i = 0; i < resources->device_rule_count; i++) {
        const struct config_device_rule *rule = &resources->device_rules[i];
        promise(strchr("acb", rule->type) && (rule->read || rule->write || rule->mknod));
        promise(rule->major >= -1 && rule->minor >= -1);
    }
    read_string(resources->cpu.cpus);
    read_string(resources->cpu.mems);
    read_bytes(resources->block.weight_devices,
               resources->block.weight_device_count * sizeof *resources->block.weight_devices);
    for (int kind = 0; kind < CONFIG_THROTTLE_KINDS; kind++)
        read_bytes(resources->block.throttles[kind],
                   resources->block.throttle_count[kind] * sizeof **resources->block.throttles);
    for (size_t i = 0; i < resources->hugepage_limit_count; i++)
        read_string(resources->hugepage_limits[i].page_size);
    for (size_t i = 0; i < resources->network.priority_count; i++)
        read_string(resources->network.priorities[i].name);
    for (size_t i = 0; i < resources->rdma_count; i++)
        read_string(resources->rdma[i].device);
}

static void read_seccomp(const struct config_seccomp *seccomp)
{
    promise(seccomp->default_action && strncmp(seccomp->default_action, "SCMP_ACT_", 9) == 0);
    read_strings(&seccomp->architectures);
    read_strings(&seccomp->flags);
    read_string(seccomp->listener_path);
    read_string(seccomp->listener_metadata);
    promise(!seccomp->listener_metadata || seccomp->listener_path);
    for (size_t i = 0; i < seccomp->rule_count; i++) {
        const struct config_seccomp_rule *rule = &seccomp->rules[i];
        promise(rule->names.count > 0);
        read_strings(&rule->names);
        read_string(rule->action);
        for (size_t j = 0; j < rule->argument_count; j++) {
            promise(rule->arguments[j].index <= 5);
            read_string(rule->arguments[j].op);
        }
    }
}

static void read_linux(const struct config_linux *section)
{
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++) {
        if (section->namespaces[kind].path)
            read_path(section->namespaces[kind].path);
    }
    read_mappings(&section->uid_mappings);
    read_mappings(&section->gid_mappings);
    for (size_t i = 0; i < section->device_count; i++) {
        read_path(section->devices[i].path);
        promise(strchr("cbup", section->devices[i].type) != NULL);
    }
    read_string(section->cgroups_path);
    if (section->resources)
        read_resources(section->resources);
    if (section->seccomp)
        read_seccomp(section->seccomp);
    read_pairs(&section->sysctl);
    read_string(section->rootfs_propagation);
    for (size_t i = 0; i < section->masked_paths.count; i++)
        read_path(section->masked_paths.items[i]);
    for (size_t i = 0; i < section->readonly_paths.count; i++)
        read_path(section->readonly_paths.items[i]);
    read_string(section->mount_label);
    if (section->intel_rdt) {
        read_string(section->intel_rdt->closid);
        read_string(section->intel_rdt->l3_cache_schema);
        read_string(section->intel_rdt->mem_bw_schema);
        read_strings(&section->intel_rdt->schemata);
    }
}

static void read_config(const struct config *config)
{
    read_string(config->oci_version);
    read_string(config->root.path);
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct config_mount *mount = &config->mounts[i];
        read_path(mount->destination);
        read_string(mount->type);
        read_string(mount->source);
        read_strings(&mount->options);
        read_mappings(&mount->uid_mappings);
        read_mappings(&mount->gid_mappings);
        promise(!mount->uid_mappings.count == !mount->gid_mappings.count);
    }
    if (config->process)
        read_process(config->process);
    read_string(config->hostname);
    read_string(config->domainname);
    for (int kind = 0; kind < CONFIG_HOOK_KINDS; kind++) {
        for (size_t i = 0; i < config->hooks[kind].count; i++) {
            const struct config_hook *hook = &config->hooks[kind].items[i];
            read_path(hook->path);
            read_strings(&hook->args);
            read_environment(&hook->env);
            promise(!hook->timeout.given || hook->timeout.value > 0);
        }
    }
    read_pairs(&config->annotations);
    read_linux(&config->linux_section);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const parsers[])(struct config *, const char *, size_t, struct error *) = {
        config_parse, config_parse_process, config_parse_resources};
    if (size == 0)
        return 0;
    size_t which = data[0] % (sizeof parsers / sizeof *parsers);
    struct config config;
    struct error err = {0};
    if (parsers[which](&config, (const char *)data + 1, size - 1, &err) < 0) {
        promise(err.text[0] && !strchr(err.text, '\n'));
        promise(!config.document && !config.arena.blocks);
        return 0;
    }
    promise(which != 0 || (config.oci_version && config.root.path && *config.root.path));
    promise(which != 1 || config.process);
    promise(which != 2 || config.linux_section.resources);
    read_config(&config);
    config_release(&config);
    return 0;
}
