#include <ctype.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/installation.h"
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

const struct registry_operations *registry_module_load(struct error *err)
{
    static const char *const built[] = {MODULE, NULL};
    scope_free char *path = installation_find(built, HULL_MODULE_DIRECTORY "/" MODULE);
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
