/* A guest's kernel with a share: FUSE requests through the queues of a virtio-fs device, to a
 * server with a directory of our own. */
#ifndef HULL_TESTS_VM_FS_GUEST_H
#define HULL_TESTS_VM_FS_GUEST_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/log.h"
#include "vm_driver.h"

#define FS_REQUEST DRIVER_BUFFERS
#define FS_ANSWER (DRIVER_BUFFERS + 0x100000u)
#define FS_ANSWER_SIZE 0x40000u
#define FS_ROOT FUSE_ROOT_ID

extern struct driver fs_driver;
extern char fs_outside[64], fs_shared[80]; /* a directory, and the one in it that is shared */
extern uint32_t fs_written;                /* by the last answer */
extern struct fuse_entry_out fs_entry;     /* of the last entry that was answered with */

/* Set-up and tear-down of a test: a share, writable or not, whose session has begun. */
int fs_open_guest(void **state);
int fs_open_read_only(void **state);
int fs_close_guest(void **state);
void fs_quiet(enum vm_log_level level, const char *module, const char *text);
void fs_greet(void);

/* Puts a request into a queue; waits for its answer. */
void fs_send(unsigned queue, const void *bytes, uint32_t size, uint32_t room);
uint8_t *fs_await(unsigned queue);
/* A request of fixed arguments and bytes behind them, with room for an answer. Returns its error;
 * *answer, which may be NULL, is what comes behind the answer's header. */
int fs_call_with(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                 const void *rest, size_t rest_size, uint32_t room, const void **answer);
/* The same with all room, and with a name behind the arguments. */
int fs_call(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
            const void **answer);
int fs_call_name(uint32_t opcode, uint64_t node, const void *arguments, size_t size,
                 const char *name, const void **answer);

/* A path in the shared directory, as the host sees it; files there. */
const char *fs_path(const char *name);
void fs_put(const char *path, const char *text);
void fs_assert_content(const char *path, const char *wanted);

/* Requests: those that may fail return the error. What they answer with is in fs_entry. */
int fs_try_look_up(uint64_t directory, const char *name);
uint64_t fs_node_of(uint64_t directory, const char *name);
int fs_try_open(uint64_t node, uint32_t flags, uint64_t *handle);
int fs_try_create(uint64_t directory, const char *name, uint32_t flags, uint32_t mode,
                  uint64_t *handle);
int fs_try_write(uint64_t handle, uint64_t offset, const char *text);
int fs_try_release(uint64_t handle);

#endif
