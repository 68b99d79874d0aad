#include "monitor/log_rotate.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "base/scope.h"

static void rename_number(const char *path, int from, const char *suffix)
{
    scope_free char *old = memory_format("%s.%d%s", path, from, suffix);
    scope_free char *new = memory_format("%s.%d%s", path, from + 1, suffix);
    rename(old, new);
}

static void remove_number(const char *path, int number, const char *suffix)
{
    scope_free char *name = memory_format("%s.%d%s", path, number, suffix);
    unlink(name);
}

/* gzip has ended: its file takes the place of log.1. A killed monitor leaves both, which is no
 * loss: the next rotation overwrites log.1.gz.new. */
static void finish_compression(struct child *child, int status)
{
    struct log_file *log = loop_owner(child, struct log_file, compressor);
    scope_free char *plain = memory_format("%s.1", log->path);
    scope_free char *beside = memory_format("%s.1.gz.new", log->path);
    scope_free char *compressed = memory_format("%s.1.gz", log->path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && rename(beside, compressed) == 0)
        unlink(plain);
    else
        unlink(beside);
}

static void compress(struct log_file *log)
{
    scope_free char *plain = memory_format("%s.1", log->path);
    scope_free char *beside = memory_format("%s.1.gz.new", log->path);
    scope_close int from = open(plain, O_RDONLY | O_CLOEXEC);
    scope_close int to = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (from < 0 || to < 0)
        return;
    log->compressor.ended = finish_compression;
    const char *const argv[] = {"gzip", "-c", NULL};
    struct child_setup setup = {.streams = {from, to, -1}, .mount_namespace = -1, .kept = -1};
    if (children_spawn(log->children, &log->compressor, argv, &setup, NULL) < 0)
        unlink(beside);
}

void log_rotate(struct log_file *log)
{
    if (log->max_file <= 1) {
        unlink(log->path);
        return;
    }
    /* From the oldest on: a writer killed in between leaves a gap, nothing twice. */
    remove_number(log->path, log->max_file - 1, "");
    remove_number(log->path, log->max_file - 1, ".gz");
    for (int number = log->max_file - 2; number >= 1; number--) {
        rename_number(log->path, number, "");
        rename_number(log->path, number, ".gz");
    }
    scope_free char *first = memory_format("%s.1", log->path);
    rename(log->path, first);
    if (log->compress && log->children)
        compress(log);
}
