/* libseccomp, loaded when a configuration asks for it and has no compiled filter in the cache:
 * linking it would cost every start. */
#ifndef HULL_CONTAINER_SECCOMP_LIBRARY_H
#define HULL_CONTAINER_SECCOMP_LIBRARY_H

#include <seccomp.h>

#include "base/error.h"

/* The functions of libseccomp that hull calls, under their names without "seccomp_". */
struct seccomp_library {
    void *handle;
    const struct scmp_version *(*version)(void);
    scmp_filter_ctx (*init)(uint32_t default_action);
    void (*release)(scmp_filter_ctx context);
    uint32_t (*arch_resolve_name)(const char *name);
    uint32_t (*arch_native)(void);
    int (*arch_add)(scmp_filter_ctx context, uint32_t architecture);
    int (*attr_set)(scmp_filter_ctx context, enum scmp_filter_attr attribute, uint32_t value);
    int (*syscall_resolve_name)(const char *name);
    int (*syscall_resolve_name_arch)(uint32_t architecture, const char *name);
    int (*rule_add_array)(scmp_filter_ctx context, uint32_t action, int number,
                          unsigned int condition_count, const struct scmp_arg_cmp *conditions);
    int (*export_bpf)(const scmp_filter_ctx context, int fd);
};

/* Loads it; the error names the package to install. */
int seccomp_library_open(struct seccomp_library *library, struct error *err);
/* For scopes: does nothing if *library was never opened (zeroed). */
void seccomp_library_close(struct seccomp_library *library);
#define scope_seccomp_library __attribute__((cleanup(seccomp_library_close)))

/* The path of the file that was loaded, borrowed until close; NULL if it isn't known. */
const char *seccomp_library_path(const struct seccomp_library *library);

#endif
