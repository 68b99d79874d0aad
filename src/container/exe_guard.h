/* The defence against CVE-2019-5736: a container that gets hold of /proc/PID/exe of a runtime
 * process inside it (say, because the image's program is "#!/proc/self/exe") holds the host's
 * hull-oci, and may write to it when nobody runs it any more.
 *
 * Others execute a copy of themselves, which costs a millisecond. Here the process stops *being*
 * its file: its mapped segments are replaced by anonymous copies, in place, and the kernel's link
 * from the process to its file (prctl PR_SET_MM_EXE_FILE) is pointed to an empty sealed memfd.
 * /proc/PID/exe then leads to a file that can be neither run nor written. */
#ifndef HULL_CONTAINER_EXE_GUARD_H
#define HULL_CONTAINER_EXE_GUARD_H

#include <stddef.h>

#include "base/error.h"

/* An ordinary user may not do that. If the file is out of the user's reach, it is out of the
 * container's. If not, this executes a sealed copy, with the same arguments; does nothing in the
 * copy, and nothing for root. Call it first thing. */
int exe_guard_copy(char **argv, struct error *err);

/* The path of this program's file, of the original in a copy. -1 if it is gone or too long. */
int exe_guard_program_path(char *path, size_t size);

/* Applies to the calling process and to what it clones; the process must have one thread. */
int exe_guard_detach(struct error *err);

#endif
