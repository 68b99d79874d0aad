/* The words of linux.seccomp, whose lists seccomp.h has, and what libseccomp's header says for
 * them. */
#ifndef HULL_CONTAINER_SECCOMP_NAMES_H
#define HULL_CONTAINER_SECCOMP_NAMES_H

#include <seccomp.h>
#include <stdint.h>

/* seccomp_architectures() has fewer. */
#define SECCOMP_ARCHITECTURE_LIMIT 32

/* The place of a name in a list that ends with NULL, or -1. */
int seccomp_find_name(const char *const *names, const char *name);

/* Of the name at that place in seccomp_actions(): SCMP_ACT_ERRNO and _TRACE without their number.
 */
uint32_t seccomp_action_value(int index);
/* The same for seccomp_operators(). */
enum scmp_compare seccomp_operator_value(int index);

#endif
