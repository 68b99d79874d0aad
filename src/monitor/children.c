#include "monitor/children.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

/* In the new process. */
static void execute(const char *const *argv, const struct child_setup *setup)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int moved[3];
    /* Out of the way of 0, 1 and 2 first: a stream may be one of those. */
    for (int i = 0; i < 3; i++) {
        moved[i] = fcntl(setup->streams[i] < 0 ? nothing : setup->streams[i], F_DUPFD_CLOEXEC, 3);
        if (moved[i] < 0)
            _exit(127);
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(moved[i], i) < 0)
            _exit(127);
    }
    /* Without the privilege (not root, and in the namespace already) it stays where it is. */
    if (setup->mount_namespace >= 0 && setns(setup->mount_namespace, CLONE_NEWNS) == 0 &&
        (fchdir(setup->root) < 0 || chroot(".") < 0))
        _exit(127);
    if (setup->kept >= 0)
        fcntl(setup->kept, F_SETFD, 0);
    file_close_others(3, &setup->kept, 1, NULL);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

static void add(struct children *children, struct child *child, pid_t pid)
{
    child->pid = pid;
    child->next = children->first;
    children->first = child;
}

int children_spawn(struct children *children, struct child *child, const char *const *argv,
                   const struct child_setup *setup, struct error *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, errno, "can't make a process for %s", argv[0]);
    if (pid == 0)
        execute(argv, setup);
    add(children, child, pid);
    return 0;
}

void children_forget(struct children *children, struct child *child)
{
    for (struct child **at = &children->first; *at; at = &(*at)->next) {
        if (*at == child) {
            *at = child->next;
            break;
        }
    }
    child->pid = 0;
}

static void end(struct children *children, struct child *child, int status)
{
    children_forget(children, child);
    child->ended(child, status);
}

void children_expect(struct children *children)
{
    if (children->expecting++ == 0)
        memset(children->early, 0, sizeof children->early);
}

void children_expect_no_more(struct children *children)
{
    children->expecting--;
}

void children_adopt(struct children *children, struct child *child, pid_t pid)
{
    add(children, child, pid);
    for (size_t i = 0; i < CHILDREN_EARLY; i++) {
        if (children->early[i].pid == pid) {
            children->early[i].pid = 0;
            end(children, child, children->early[i].status);
            return;
        }
    }
}

void children_reap(struct children *children)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = children->first;
        while (child && child->pid != pid)
            child = child->next;
        if (child) {
            end(children, child, status);
            continue;
        }
        if (children->expecting == 0)
            continue;
        children->early[children->early_next].pid = pid;
        children->early[children->early_next].status = status;
        children->early_next = (children->early_next + 1) % CHILDREN_EARLY;
    }
}
