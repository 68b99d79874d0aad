/* What talks to the kernel: the flags that it knows, and the installation of a filter. */
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container/seccomp.h"
#include "container/seccomp_flags.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static const char *const flag_names[] = {
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    NULL,
};
static const unsigned int flag_values[] = {
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
};
_Static_assert(sizeof flag_names / sizeof *flag_names ==
                   sizeof flag_values / sizeof *flag_values + 1,
               "one value a flag");

const char *const *seccomp_known_flags(void)
{
    return flag_names;
}

/* The kernel looks at the flags before it reads the program: with none, EFAULT says that it takes
 * them. WAIT_KILLABLE_RECV it takes only with a listener. */
static bool is_supported(unsigned int flag)
{
    if (flag == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
        flag |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) < 0 && errno == EFAULT;
}

void seccomp_supported_flags(const char **supported)
{
    for (size_t i = 0; flag_names[i]; i++) {
        if (is_supported(flag_values[i]))
            *supported++ = flag_names[i];
    }
    *supported = NULL;
}

static int translate_flag(const char *name, unsigned int *flag, struct error *err)
{
    for (size_t i = 0; flag_names[i]; i++) {
        if (strcmp(flag_names[i], name) != 0)
            continue;
        *flag = flag_values[i];
        if (!is_supported(*flag))
            return error_set(err, 0, "linux.seccomp.flags: this kernel doesn't support %s", name);
        return 0;
    }
    return error_set(err, 0, "linux.seccomp.flags: unknown flag %s", name);
}

int seccomp_flags_translate(const struct config_seccomp *seccomp, bool notify, unsigned int *flags,
                            struct error *err)
{
    *flags = 0;
    for (size_t i = 0; i < seccomp->flags.count; i++) {
        unsigned int flag = 0;
        if (translate_flag(seccomp->flags.items[i], &flag, err) < 0)
            return -1;
        *flags |= flag;
    }
    if (!seccomp->flags.items && is_supported(SECCOMP_FILTER_FLAG_SPEC_ALLOW))
        *flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if (notify) {
        /* seccomp(2) has one result: a thread that couldn't be synchronised, or a listener. The
         * container's process has one thread when it installs, so there is nothing to lose. */
        *flags &= ~SECCOMP_FILTER_FLAG_TSYNC;
        *flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    } else {
        *flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; /* speaks of listeners only */
    }
    return 0;
}

int seccomp_install(const struct seccomp_program *program, int *listener, struct error *err)
{
    *listener = -1;
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program->flags, &program->filter);
    if (result < 0 && errno == EACCES)
        return error_set(err, EACCES,
                         "can't install the seccomp filter without no_new_privs or CAP_SYS_ADMIN");
    if (result < 0)
        return error_set(err, errno, "can't install the seccomp filter");
    if (program->notify)
        *listener = (int)result;
    else if (result > 0) /* TSYNC: the thread that has another filter */
        return error_set(err, 0, "can't install the seccomp filter on thread %ld", result);
    return 0;
}
