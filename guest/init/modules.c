/* Modules come in the initrd as plain files. modules/order has a line for each, those first that
 * others depend on: its name, and the conditions under which it is needed; none: always. They are
 * "virtio:N" for a device of that number and "fs:TYPE" for a file system that is mounted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "guest.h"

static void insert(int directory, const char *name)
{
    scope_close int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        guest_log("can't insert the module %s: %s", name, strerror(errno));
}

/* Whether one of the words is the condition; without a condition, whether there are none. */
static bool applies(char *words, const char *condition)
{
    char *word;
    bool has_any = false, found = false;
    while ((word = strsep(&words, " "))) {
        has_any = has_any || *word;
        found = found || (condition && strcmp(word, condition) == 0);
    }
    return condition ? found : !has_any;
}

/* What doesn't go in is reported: whether the machine can do without it will show. */
void modules_load(int directory, const char *condition)
{
    struct error err;
    if (directory < 0)
        return; /* a kernel that has everything built in */
    scope_free char *text = file_read_all(directory, "order", 65536, NULL, &err);
    if (!text) {
        guest_log("modules: %s", err.text);
        return;
    }
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        const char *name = strsep(&line, " ");
        if (*name && applies(line, condition))
            insert(directory, name);
    }
}

/* The devices that the bus has found; it finds them while its driver is inserted. */
void modules_load_for_devices(int directory)
{
    scope_closedir DIR *devices = directory < 0 ? NULL : opendir("/sys/bus/virtio/devices");
    struct dirent *entry;
    while (devices && (entry = readdir(devices))) {
        scope_free char *path = memory_format("%s/device", entry->d_name);
        scope_free char *number = file_read_all(dirfd(devices), path, 32, NULL, NULL);
        scope_free char *condition =
            memory_format("virtio:%lu", number ? strtoul(number, NULL, 16) : 0);
        if (number)
            modules_load(directory, condition);
    }
}

void modules_forget(int directory)
{
    scope_closedir DIR *modules = directory < 0 ? NULL : fdopendir(directory);
    struct dirent *entry;
    while (modules && (entry = readdir(modules)))
        unlinkat(dirfd(modules), entry->d_name, 0);
}
