#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "vm/runtime/record.h"
#include "vm/runtime/verb.h"

#define END_ROUNDS 1000 /* of 10 ms: how long a killed process may take to end */

static int remove_jail(const struct record *record, struct error *err)
{
    scope_close int bundle = open(record->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't open %s", record->bundle);
    return remove_tree(bundle, "jail", NULL, err);
}

/* The keeper is killed by its cgroup too; but it may not be in it yet. */
static int end_keeper(const struct record *record, struct error *err)
{
    for (int round = 0; record_is_alive(record); round++) {
        if (round == END_ROUNDS)
            return error_set(err, ETIMEDOUT, "process %d doesn't end", (int)record->keeper);
        if (round == 0)
            kill(record->keeper, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return 0;
}

int machine_forget(const struct record *record, struct error *err)
{
    if (end_keeper(record, err) < 0)
        return -1;
    if (record->cgroup.count > 0 &&
        (cgroup_kill(&record->cgroup, SIGKILL, err) < 0 || cgroup_remove(&record->cgroup, err) < 0))
        return -1;
    if (*record->bundle && remove_jail(record, err) < 0)
        return -1;
    return record_remove(record, err);
}

int verb_delete(const struct verb_context *context, struct error *err)
{
    scope_record struct record record = {0};
    bool force = command_given(context->line, "force");
    int found = record_read(&record, context->root, context->id, err);
    if (found < 0 || (found == 0 && force))
        return found;
    if (found == 0)
        return error_set(err, ENOENT, "no such machine below %s", context->root);
    if (!force && record_is_alive(&record))
        return error_set(err, 0, "the machine runs: kill it first, or give --force");
    return machine_forget(&record, err);
}
