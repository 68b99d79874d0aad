/* On a full disk containers can still be removed: a file keeps the room that the database needs for
 * that. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/scope.h"
#include "engine/engine_internal.h"

#define RESERVE_SIZE (512 << 10) /* the database's log of some removals, and its index (32 KiB) */

void engine_room_keep(const struct engine *engine)
{
    scope_free char *path = memory_format("%s/reserve", engine->root);
    if (access(path, F_OK) == 0)
        return;
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, RESERVE_SIZE) != 0)
        unlink(path);
}

bool engine_room_make(const struct engine *engine, const struct error *why)
{
    scope_free char *path = memory_format("%s/reserve", engine->root);
    return (why->code == ENOSPC || why->code == EDQUOT) && unlink(path) == 0;
}
