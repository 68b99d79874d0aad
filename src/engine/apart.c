#include "engine/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"

struct report {
    int64_t result;
    struct error err;
};

/* With the host's other namespaces, and its descriptors: what is in the container doesn't see us,
 * and couldn't trace us (we have been root of the host, and aren't dumpable any more). */
static int become_root(int user_namespace, struct error *err)
{
    if (setns(user_namespace, CLONE_NEWUSER) < 0)
        return error_set(err, errno, "can't join the container's user namespace");
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_set(err, errno, "can't become root of the container's user namespace");
    return 0;
}

static void run(int channel, int user_namespace, apart_act *act, void *context)
{
    struct report report = {.result = -1};
    signal(SIGPIPE, SIG_IGN);
    if (user_namespace < 0 || become_root(user_namespace, &report.err) == 0)
        report.result = act(context, &report.err);
    file_write_all(channel, &report, sizeof report);
}

int apart_start(struct apart *apart, int user_namespace, apart_act *act, void *context,
                struct error *err)
{
    int ends[2];
    *apart = (struct apart){.channel = -1};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, errno, "can't make a pipe");
    apart->pid = fork();
    if (apart->pid == 0) {
        close(ends[0]);
        run(ends[1], user_namespace, act, context);
        _exit(0);
    }
    int reason = errno;
    apart->channel = ends[0];
    close(ends[1]);
    return apart->pid < 0 ? error_set(err, reason, "can't make a process") : 0;
}

int64_t apart_finish(struct apart *apart, struct error *err)
{
    struct report report;
    scope_close int channel = apart->channel;
    ssize_t count = 0;
    size_t length = 0;
    apart->channel = -1;
    if (apart->pid <= 0)
        return -1;
    while (length < sizeof report &&
           ((count = read(channel, (char *)&report + length, sizeof report - length)) > 0 ||
            (count < 0 && errno == EINTR)))
        length += count > 0 ? (size_t)count : 0;
    while (waitpid(apart->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    apart->pid = 0;
    if (length < sizeof report)
        return error_set(err, 0, "a process of ours was killed");
    if (report.result < 0 && err)
        *err = report.err;
    return report.result;
}

int64_t apart_do(int user_namespace, apart_act *act, void *context, struct error *err)
{
    struct apart apart;
    if (apart_start(&apart, user_namespace, act, context, err) < 0) {
        apart_finish(&apart, NULL);
        return -1;
    }
    return apart_finish(&apart, err);
}
