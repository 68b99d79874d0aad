/* A standard stream of ours, read and written without ever waiting, whatever it is: pipe, terminal,
 * socket or file. Others may share it, so its flags stay as they are. */
#ifndef HULL_VM_RUNTIME_DESCRIPTOR_H
#define HULL_VM_RUNTIME_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

struct descriptor {
    struct loop_source source; /* ready() is the owner's; fd -1: closed */
    struct loop_timer soon;    /* instead of the source where that can't be watched: a file */
    struct loop *loop;
    bool can_watch;
};

/* Takes the descriptor for reading (EPOLLIN) or writing (EPOLLOUT). */
void descriptor_open(struct descriptor *descriptor, struct loop *loop, int fd, uint32_t direction,
                     void (*ready)(struct loop_source *source, uint32_t events));
/* ready() is to be called when there is something to do, in that direction; or not. */
void descriptor_watch(struct descriptor *descriptor, uint32_t direction, bool wanted);
/* As read(2) and write(2); -1 with EAGAIN where they would wait. */
ssize_t descriptor_read(struct descriptor *descriptor, void *bytes, size_t size);
ssize_t descriptor_write(struct descriptor *descriptor, const void *bytes, size_t length);
void descriptor_close(struct descriptor *descriptor);

#endif
