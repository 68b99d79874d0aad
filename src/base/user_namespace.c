#include "base/user_namespace.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"

/* What the file begins with; "" on a kernel without user namespaces. */
static void read_beginning(const char *path, char text[64])
{
    scope_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, 63);
    text[length > 0 ? length : 0] = '\0';
}

bool user_namespace_is_first(void)
{
    char text[64];
    unsigned int inside, outside, size;
    read_beginning("/proc/self/uid_map", text);
    if (!*text)
        return true;
    return sscanf(text, "%u %u %u", &inside, &outside, &size) == 3 && inside == 0 && outside == 0 &&
           size == UINT32_MAX;
}

bool user_namespace_allows_groups(void)
{
    char text[64];
    read_beginning("/proc/self/setgroups", text);
    return strncmp(text, "deny", 4) != 0;
}
