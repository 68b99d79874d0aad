/* close_range(2), which musl doesn't declare. */
#ifndef HULL_STATIC_UNISTD_H
#define HULL_STATIC_UNISTD_H

#include_next <unistd.h>

#include <linux/close_range.h>
#include <sys/syscall.h>

static inline int close_range(unsigned int first, unsigned int last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

#endif
