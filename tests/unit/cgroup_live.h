/* What the live cgroup tests stand on: a cgroup of their own for each test, and children in it. */
#ifndef HULL_TESTS_CGROUP_LIVE_H
#define HULL_TESTS_CGROUP_LIVE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "container/cgroup_internal.h"

struct fixture {
    struct cgroup cgroup;
    struct error err;
    pid_t child;
    char id[40];
};

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("needs root and its own cgroups\n");
        skip();
    }
}

#define need(CALL)                                                                                 \
    do {                                                                                           \
        if ((CALL) < 0)                                                                            \
            fail_msg("%s: %s", #CALL, fixture->err.text);                                          \
    } while (0)

static int set_up(void **state)
{
    static int number;
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    snprintf(fixture->id, sizeof fixture->id, "hull-test-%d-%d", getpid(), number++);
    *state = fixture;
    if (geteuid() != 0)
        return 0;
    if (cgroup_resolve(&fixture->cgroup, CGROUP_MANAGER_FILES, NULL, fixture->id, false,
                       &fixture->err) < 0) {
        print_error("%s\n", fixture->err.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int result = 0;
    if (geteuid() == 0) {
        cgroup_kill(&fixture->cgroup, SIGKILL, NULL);
        cgroup_thaw(&fixture->cgroup, NULL);
        if (fixture->child > 0)
            waitpid(fixture->child, NULL, 0);
        result = cgroup_remove(&fixture->cgroup, &fixture->err);
        if (result < 0)
            print_error("%s\n", fixture->err.text);
    }
    free(fixture);
    return result;
}

static void exit_seven(int signal_number)
{
    (void)signal_number;
    _exit(7);
}

/* Starts a child that enters the cgroup, and then does work(); what that returns is its exit
 * status, and 7 on SIGTERM. Returns when it has entered. */
static void start(struct fixture *fixture, int (*work)(void))
{
    int entries[CGROUP_HIERARCHY_MAX], ready[2];
    int count = cgroup_open_entries(&fixture->cgroup, true, entries, &fixture->err);
    if (count < 0)
        fail_msg("%s", fixture->err.text);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    fixture->child = fork();
    assert_true(fixture->child >= 0);
    if (fixture->child == 0) {
        for (int i = 0; i < count; i++)
            if (write(entries[i], "0", 1) != 1)
                _exit(99);
        signal(SIGTERM, exit_seven);
        if (write(ready[1], "x", 1) != 1)
            _exit(98);
        _exit(work());
    }
    for (int i = 0; i < count; i++)
        close(entries[i]);
    close(ready[1]);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static int finish(struct fixture *fixture)
{
    int status;
    assert_int_equal(waitpid(fixture->child, &status, 0), fixture->child);
    fixture->child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static __attribute__((noreturn)) int wait_forever(void)
{
    for (;;)
        pause();
}

/* What a limit's file says: v1's name or v2's, whichever hierarchy has the controller. */
static const char *limit(struct fixture *fixture, const char *v1, const char *v2)
{
    static char text[256];
    char controller[32];
    snprintf(controller, sizeof controller, "%.*s", (int)strcspn(v1, "."), v1);
    const struct cgroup_hierarchy *hierarchy = cgroup_find_v1(&fixture->cgroup, controller);
    const char *file = hierarchy ? v1 : v2;
    if (!hierarchy)
        hierarchy = cgroup_find_v2(&fixture->cgroup);
    assert_non_null(hierarchy);
    if (cgroup_read(hierarchy->path, file, text, sizeof text) < 0)
        fail_msg("%s/%s: %s", hierarchy->path, file, strerror(errno));
    return text;
}

static bool is_v2(struct fixture *fixture)
{
    return fixture->cgroup.mode == CGROUP_MODE_V2;
}

static void create(struct fixture *fixture)
{
    need(cgroup_create(&fixture->cgroup, -1, NULL, &fixture->err));
}

#endif
