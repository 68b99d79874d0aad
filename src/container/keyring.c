#include "container/keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int keyring_join(const char *id, struct error *err)
{
    char name[300];
    snprintf(name, sizeof name, "_ses.%s", id);
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0 && errno != ENOSYS &&
        errno != EDQUOT)
        return error_set(err, errno, "can't make a session keyring");
    return 0;
}
