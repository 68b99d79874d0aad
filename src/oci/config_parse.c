/* The entry points, and what config.md defines for all platforms: version, root, mounts, hooks,
 * annotations. */
#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "oci/config_sections.h"

/* The specification is a Semantic Version 2.0.0; identifiers after '-' and '+' are dot-separated
 * and not empty, and those after '-' have no leading zero when they are numbers. */
static size_t scan_version_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 1 && *text == '0' ? 0 : digits;
}

static const char *scan_identifiers(const char *text, bool numbers_are_strict)
{
    for (;; text++) {
        size_t length = 0;
        bool is_number = true;
        for (; isalnum((unsigned char)text[length]) || text[length] == '-'; length++)
            is_number = is_number && isdigit((unsigned char)text[length]);
        if (length == 0 || (numbers_are_strict && is_number && length > 1 && *text == '0'))
            return NULL;
        text += length;
        if (*text != '.')
            return text;
    }
}

static bool is_semantic_version(const char *text)
{
    for (int part = 0; part < 3; part++) {
        size_t digits = scan_version_number(text);
        if (digits == 0 || (part < 2 && text[digits] != '.'))
            return false;
        text += digits + (part < 2);
    }
    if (*text == '-' && !(text = scan_identifiers(text + 1, true)))
        return false;
    if (*text == '+' && !(text = scan_identifiers(text + 1, false)))
        return false;
    return *text == '\0';
}

static int parse_version(const struct config_node *document, const char **out)
{
    if (config_require_string(document, "ociVersion", out) < 0)
        return -1;
    if (!is_semantic_version(*out))
        return config_fail_member(document, "ociVersion", "%s is not a version (SemVer 2.0.0)",
                                  config_quote(*out).text);
    if (strncmp(*out, "1.", 2) != 0)
        return config_fail_member(document, "ociVersion", "version %s is not supported, only 1.x",
                                  config_quote(*out).text);
    return 0;
}

static int parse_root(const struct config_node *document, struct config_root *out)
{
    struct config_node root;
    if (config_require_object(document, "root", &root) < 0 ||
        config_require_string(&root, "path", &out->path) < 0 ||
        config_read_bool(&root, "readonly", &out->readonly) < 0)
        return -1;
    return *out->path ? 0 : config_fail_member(&root, "path", "is empty");
}

static int convert_mount(const struct config_node *node, void *slot)
{
    struct config_mount *mount = slot;
    if (config_require_string(node, "destination", &mount->destination) < 0 ||
        config_read_text(node, "type", &mount->type) < 0 ||
        config_read_text(node, "source", &mount->source) < 0 ||
        config_read_strings(node, "options", &mount->options) < 0 ||
        config_read_id_mappings(node, "uidMappings", &mount->uid_mappings) < 0 ||
        config_read_id_mappings(node, "gidMappings", &mount->gid_mappings) < 0)
        return -1;
    if (!*mount->destination)
        return config_fail_member(node, "destination", "is empty");
    if (*mount->destination != '/') /* deprecated, but allowed: relative to / */
        mount->destination = arena_format(node->reader->arena, "/%s", mount->destination);
    if (mount->uid_mappings.count && !mount->gid_mappings.count)
        return config_fail_member(node, "uidMappings", "given without gidMappings");
    if (mount->gid_mappings.count && !mount->uid_mappings.count)
        return config_fail_member(node, "gidMappings", "given without uidMappings");
    return 0;
}

static int convert_hook(const struct config_node *node, void *slot)
{
    struct config_hook *hook = slot;
    if (config_require_absolute_path(node, "path", &hook->path) < 0 ||
        config_read_strings(node, "args", &hook->args) < 0 ||
        config_read_environment(node, "env", &hook->env) < 0 ||
        config_read_number(node, "timeout", 1, INT32_MAX, &hook->timeout) < 0)
        return -1;
    return 0;
}

static int parse_hooks(const struct config_node *document, struct config_hooks *out)
{
    struct config_node hooks;
    int found = config_read_object(document, "hooks", &hooks);
    for (int kind = 0; found > 0 && kind < CONFIG_HOOK_KINDS; kind++) {
        if (config_read_list(&hooks, config_hook_names[kind], sizeof *out[kind].items, convert_hook,
                             &out[kind].items, &out[kind].count) < 0)
            return -1;
    }
    return found;
}

static int parse_annotations(const struct config_node *document, struct config_pairs *out)
{
    if (config_read_pairs(document, "annotations", out) < 0)
        return -1;
    for (size_t i = 0; i < out->count; i++) {
        if (!*out->items[i].key)
            return config_fail_member(document, "annotations", "a key is empty");
    }
    return 0;
}

static int convert_configuration(const struct config_node *document, struct config *config)
{
    struct config_node section;
    if (parse_version(document, &config->oci_version) < 0 ||
        parse_root(document, &config->root) < 0 ||
        config_read_list(document, "mounts", sizeof *config->mounts, convert_mount, &config->mounts,
                         &config->mount_count) < 0)
        return -1;
    int found = config_read_object(document, "process", &section);
    if (found < 0 || (found > 0 && config_convert_process(&section, &config->process) < 0))
        return -1;
    if (config_read_text(document, "hostname", &config->hostname) < 0 ||
        config_read_text(document, "domainname", &config->domainname) < 0 ||
        parse_hooks(document, config->hooks) < 0 ||
        parse_annotations(document, &config->annotations) < 0)
        return -1;
    found = config_read_object(document, "linux", &section);
    if (found < 0 || (found > 0 && config_convert_linux(&section, &config->linux_section) < 0))
        return -1;
    return config_check_contradictions(config, document->reader->err);
}

static int convert_lone_process(const struct config_node *document, struct config *config)
{
    return config_convert_process(document, &config->process);
}

static int convert_lone_resources(const struct config_node *document, struct config *config)
{
    return config_convert_resources(document, &config->linux_section.resources);
}

static int parse(struct config *config, const char *text, size_t length, struct error *err,
                 int (*convert)(const struct config_node *document, struct config *config))
{
    *config = (struct config){0};
    struct config_reader reader = {.arena = &config->arena, .err = err};
    struct config_node document = {.reader = &reader};
    config->document = document.value = config_load(&reader, text, length);
    if (document.value && config_expect_object(&document) == 0 && convert(&document, config) == 0)
        return 0;
    config_release(config);
    return -1;
}

int config_parse(struct config *config, const char *text, size_t length, struct error *err)
{
    return parse(config, text, length, err, convert_configuration);
}

int config_parse_process(struct config *config, const char *text, size_t length, struct error *err)
{
    return parse(config, text, length, err, convert_lone_process);
}

int config_parse_resources(struct config *config, const char *text, size_t length,
                           struct error *err)
{
    return parse(config, text, length, err, convert_lone_resources);
}

void config_release(struct config *config)
{
    json_decref(config->document);
    arena_release(&config->arena);
    *config = (struct config){0};
}
