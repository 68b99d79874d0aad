/* The one step of a seccomp filter's life that takes libseccomp: a translation unit of its own,
 * because the static hull-oci is without it (hand_over.h). */
#ifndef HULL_CONTAINER_SECCOMP_COMPILE_H
#define HULL_CONTAINER_SECCOMP_COMPILE_H

#include <linux/filter.h>

#include "base/error.h"
#include "oci/config.h"

/* Fills *filter (filter->filter is malloc'ed) and *library_path, the file of the libseccomp that
 * compiled it (the caller frees; NULL if it isn't known). */
int seccomp_compile_filter(const struct config_seccomp *seccomp, struct sock_fprog *filter,
                           char **library_path, struct error *err);

#endif
