#include "image/archive_xattrs.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/memory.h"
#include "base/scope.h"

#define VALUE_SIZE_MAX 65536

static bool is_own(const char *key)
{
    return strncmp(key, "trusted.overlay.", 16) == 0 || strncmp(key, "user.overlay.", 13) == 0 ||
           strncmp(key, "system.", 7) == 0 || strcmp(key, "security.selinux") == 0;
}

int archive_xattrs_add(const struct archive_library *library, struct archive_entry *entry, int fd,
                       const char *name, struct error *err)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = listxattr(path, NULL, 0);
    if (length <= 0)
        return 0;
    scope_free char *keys = memory_allocate(1, (size_t)length + 1);
    scope_free char *value = memory_allocate(1, VALUE_SIZE_MAX);
    length = listxattr(path, keys, (size_t)length);
    for (char *key = keys; length > 0 && key < keys + length; key += strlen(key) + 1) {
        if (is_own(key))
            continue;
        ssize_t size = getxattr(path, key, value, VALUE_SIZE_MAX);
        if (size < 0 && errno == ENODATA)
            continue;
        if (size < 0)
            return error_set(err, errno, "can't read the attribute %s of %s", key, name);
        library->archive_entry_xattr_add_entry(entry, key, value, (size_t)size);
    }
    return 0;
}

void archive_xattrs_add_at(const struct archive_library *library, struct archive_entry *entry,
                           int directory, const char *name)
{
    char place[PATH_MAX], keys[4096];
    snprintf(place, sizeof place, "/proc/self/fd/%d/%s", directory, name);
    ssize_t length = llistxattr(place, keys, sizeof keys);
    scope_free char *value = memory_allocate(1, VALUE_SIZE_MAX);
    for (char *key = keys; length > 0 && key < keys + length; key += strlen(key) + 1) {
        ssize_t size = is_own(key) ? -1 : lgetxattr(place, key, value, VALUE_SIZE_MAX);
        if (size >= 0)
            library->archive_entry_xattr_add_entry(entry, key, value, (size_t)size);
    }
}
