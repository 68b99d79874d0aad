/* Modules come in the initrd as plain files, in the order in which they can be inserted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "guest.h"

static void insert(int directory, const char *name)
{
    scope_close int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        guest_log("can't insert the module %s: %s", name, strerror(errno));
}

/* What doesn't go in is reported: whether the machine can do without it will show. */
void modules_load(const char *path)
{
    scope_close int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return; /* a kernel that has everything built in */
    struct error err;
    scope_free char *text = file_read_all(directory, "order", 65536, NULL, &err);
    if (!text) {
        guest_log("modules: %s", err.text);
        return;
    }
    char *rest = text, *name;
    while ((name = strsep(&rest, "\n"))) {
        if (*name)
            insert(directory, name);
    }
}
