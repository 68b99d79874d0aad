#include "container/seccomp_library.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "container/seccomp.h"

#define LIBRARY_NAME "libseccomp.so.2"

static const struct {
    const char *name;
    size_t offset; /* of the function pointer in struct seccomp_library */
} functions[] = {
    {"seccomp_version", offsetof(struct seccomp_library, version)},
    {"seccomp_init", offsetof(struct seccomp_library, init)},
    {"seccomp_release", offsetof(struct seccomp_library, release)},
    {"seccomp_arch_resolve_name", offsetof(struct seccomp_library, arch_resolve_name)},
    {"seccomp_arch_native", offsetof(struct seccomp_library, arch_native)},
    {"seccomp_arch_add", offsetof(struct seccomp_library, arch_add)},
    {"seccomp_attr_set", offsetof(struct seccomp_library, attr_set)},
    {"seccomp_syscall_resolve_name", offsetof(struct seccomp_library, syscall_resolve_name)},
    {"seccomp_syscall_resolve_name_arch",
     offsetof(struct seccomp_library, syscall_resolve_name_arch)},
    {"seccomp_rule_add_array", offsetof(struct seccomp_library, rule_add_array)},
    {"seccomp_export_bpf", offsetof(struct seccomp_library, export_bpf)},
};

int seccomp_library_open(struct seccomp_library *library, struct error *err)
{
    memset(library, 0, sizeof *library);
    library->handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return error_set(err, 0,
                         "linux.seccomp needs libseccomp, which can't be loaded (install the "
                         "package libseccomp2): %s",
                         dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library->handle, functions[i].name);
        if (!function) {
            seccomp_library_close(library);
            return error_set(err, 0, "%s has no function %s (install libseccomp2 2.4 or newer)",
                             LIBRARY_NAME, functions[i].name);
        }
        memcpy((char *)library + functions[i].offset, &function, sizeof function);
    }
    return 0;
}

void seccomp_library_close(struct seccomp_library *library)
{
    if (library->handle)
        dlclose(library->handle);
    memset(library, 0, sizeof *library);
}

const char *seccomp_library_path(const struct seccomp_library *library)
{
    struct link_map *map = NULL;
    if (dlinfo(library->handle, RTLD_DI_LINKMAP, &map) < 0 || !map || map->l_name[0] != '/')
        return NULL;
    return map->l_name;
}

int seccomp_library_version(char *text, size_t size, struct error *err)
{
    scope_seccomp_library struct seccomp_library library = {0};
    if (seccomp_library_open(&library, err) < 0)
        return -1;
    const struct scmp_version *version = library.version();
    snprintf(text, size, "%u.%u.%u", version->major, version->minor, version->micro);
    return 0;
}
