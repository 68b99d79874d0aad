#include "vm/image/cpio.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* To the next multiple of four bytes. */
static void pad(struct cpio *cpio, size_t length)
{
    static const char zeros[4];
    fwrite(zeros, 1, (4 - length % 4) % 4, cpio->file);
}

void cpio_add(struct cpio *cpio, const char *path, mode_t mode, dev_t device, const void *contents,
              size_t length)
{
    size_t name = strlen(path) + 1;
    /* Magic; inode, mode, uid, gid, links, mtime, size, the file system's device, the node's own,
     * the name's length, a checksum that this form doesn't use. */
    int header =
        fprintf(cpio->file, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
                ++cpio->inode, mode, 0U, 0U, S_ISDIR(mode) ? 2U : 1U, 0U, (unsigned int)length, 0U,
                0U, major(device), minor(device), (unsigned int)name, 0U);
    fwrite(path, 1, name, cpio->file);
    pad(cpio, (size_t)header + name);
    fwrite(contents, 1, length, cpio->file);
    pad(cpio, length);
}

void cpio_finish(struct cpio *cpio)
{
    cpio->inode = UINT32_MAX; /* the trailer's is 0 */
    cpio_add(cpio, "TRAILER!!!", 0, 0, "", 0);
}
