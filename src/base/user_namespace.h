#ifndef HULL_BASE_USER_NAMESPACE_H
#define HULL_BASE_USER_NAMESPACE_H

#include <stdbool.h>

/* Whether we are in the first user namespace, where root is the machine's (user_namespaces(7)). */
bool user_namespace_is_first(void);
/* Whether processes in ours may change their supplementary groups: not where one id alone was
 * mapped without privilege. */
bool user_namespace_allows_groups(void);

#endif
