#include "base/installation.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"

static char *find_in(const char *directory, const char *path)
{
    scope_free char *found = memory_format("%s/%s", directory, path);
    return access(found, F_OK) == 0 ? realpath(found, NULL) : NULL;
}

char *installation_find(const char *const *built, const char *installed)
{
    static const char prefix[] = HULL_PREFIX "/";
    char own[PATH_MAX];
    char *found = NULL;
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash) {
        *slash = '\0';
        for (; !found && *built; built++)
            found = find_in(own, *built);
        /* hull is PREFIX/bin/hull. */
        if (!found && strncmp(installed, prefix, strlen(prefix)) == 0) {
            scope_free char *path = memory_format("../%s", installed + strlen(prefix));
            found = find_in(own, path);
        }
    }
    return found ? found : memory_copy_string(installed);
}
