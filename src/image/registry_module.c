#include <ctype.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "image/registry.h"

#define MODULE "hull-registry.so"

char *registry_parse_host(const char *text, struct error *err)
{
    static const char *const docker_io[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    const char *from = text;
    if (strncasecmp(from, "https://", 8) == 0)
        from += 8;
    else if (strncasecmp(from, "http://", 7) == 0)
        from += 7;
    size_t length = strcspn(from, "/");
    char *host = memory_format("%.*s", (int)length, from);
    bool valid = length > 0 && length < 256 && host[0] != '.' && host[0] != '-';
    for (char *at = host; *at; at++) {
        *at = (char)tolower((unsigned char)*at);
        valid = valid && (isalnum((unsigned char)*at) || strchr(".-_:[]", *at));
    }
    if (!valid) {
        free(host);
        error_set(err, 0, "'%.200s' is no registry's HOST or HOST:PORT", text);
        return NULL;
    }
    for (size_t i = 0; i < sizeof docker_io / sizeof *docker_io; i++) {
        if (strcmp(host, docker_io[i]) != 0)
            continue;
        free(host);
        return memory_copy_string(docker_io[0]);
    }
    return host;
}

/* The path of the module beside the program, or else where it is installed; the caller frees. */
static char *find_module(void)
{
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = '\0';
        char *slash = strrchr(program, '/');
        char *beside = memory_format("%.*s/" MODULE, slash ? (int)(slash - program) : 0, program);
        if (access(beside, R_OK) == 0)
            return beside;
        free(beside);
    }
    return memory_copy_string(HULL_MODULE_DIRECTORY "/" MODULE);
}

const struct registry_operations *registry_module_load(struct error *err)
{
    scope_free char *path = find_module();
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct registry_operations *operations =
        module ? dlsym(module, "hull_registry_operations") : NULL;
    if (!operations) {
        error_set(err, 0, "can't load the registry client: %s (install hull again)", dlerror());
        return NULL;
    }
    if (strcmp(operations->version, HULL_VERSION) != 0) {
        error_set(err, 0, "%s is of hull %s, this is %s (install hull again)", path,
                  operations->version, HULL_VERSION);
        return NULL;
    }
    return operations;
}
