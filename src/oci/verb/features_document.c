#include "oci/verb/features_document.h"

#include "container/seccomp.h"
#include "oci/config.h"

#define OCI_VERSION_MIN "1.0.0"
#define OCI_VERSION_MAX "1.2.0"
#define LIBSECCOMP_ANNOTATION "io.github.seccomp.libseccomp.version"
#define FLAG_LIMIT 32 /* seccomp(2)'s flags are bits of an unsigned int */

static json_t *list_names(const char *const *names)
{
    json_t *list = json_array();
    while (*names)
        json_array_append_new(list, json_string(*names++));
    return list;
}

static json_t *list_hooks(void)
{
    json_t *list = json_array();
    for (int kind = 0; kind < CONFIG_HOOK_KINDS; kind++)
        json_array_append_new(list, json_string(config_hook_names[kind]));
    return list;
}

/* "Recognized", whether or not this kernel has them: clients cache the document. */
static json_t *list_namespaces(void)
{
    json_t *list = json_array();
    for (int kind = 0; kind < CONFIG_NAMESPACE_KINDS; kind++)
        json_array_append_new(list, json_string(config_namespace_kinds[kind].name));
    return list;
}

static json_t *list_capabilities(void)
{
    json_t *list = json_array();
    const char *name;
    for (int number = 0; (name = config_capability_name(number)); number++)
        json_array_append_new(list, json_string(name));
    return list;
}

static json_t *describe_seccomp(void)
{
    const char *supported[FLAG_LIMIT + 1];
    seccomp_supported_flags(supported);
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", 1, "actions",
                     list_names(seccomp_actions()), "operators", list_names(seccomp_operators()),
                     "archs", list_names(seccomp_architectures()), "knownFlags",
                     list_names(seccomp_known_flags()), "supportedFlags", list_names(supported));
}

static json_t *describe_linux(void)
{
    json_t *cgroup = json_pack("{s:b, s:b, s:b, s:b, s:b}", "v1", 1, "v2", 1, "systemd", 1,
                               "systemdUser", 1, "rdma", 1);
    return json_pack("{s:o, s:o, s:o, s:o, s:{s:b}, s:{s:b}, s:{s:b}, s:{s:{s:b}}}", "namespaces",
                     list_namespaces(), "capabilities", list_capabilities(), "cgroup", cgroup,
                     "seccomp", describe_seccomp(), "apparmor", "enabled", 1, "selinux", "enabled",
                     1, "intelRdt", "enabled", 1, "mountExtensions", "idmap", "enabled", 1);
}

static json_t *list_annotations(void)
{
    char version[64];
    json_t *annotations = json_object();
    if (seccomp_library_version(version, sizeof version, NULL) == 0)
        json_object_set_new(annotations, LIBSECCOMP_ANNOTATION, json_string(version));
    return annotations;
}

json_t *features_document(const char *const *mount_options)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:[s]}", "ociVersionMin", OCI_VERSION_MIN,
                     "ociVersionMax", OCI_VERSION_MAX, "hooks", list_hooks(), "mountOptions",
                     list_names(mount_options), "linux", describe_linux(), "annotations",
                     list_annotations(), "potentiallyUnsafeConfigAnnotations",
                     "org.systemd.property.");
}
