/* container/scheduling: what was applied is read back from the kernel. */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "container/scheduling.h"

#define RESET_ON_FORK 1 /* SCHED_FLAG_RESET_ON_FORK */
#define POLICY_DEADLINE 6

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* In a child, as it can't be undone: 0 if the kernel then says what was asked for, 77 if it
 * doesn't permit it here, else the number of what differs. */
static int apply_and_compare(const struct config_process *process)
{
    struct error err = {0};
    struct attributes got = {0};
    if (scheduling_apply(process, &err) < 0)
        return err.code == EPERM ? 77 : 1;
    const struct config_scheduler *asked = process->scheduler;
    if (asked) {
        if (syscall(SYS_sched_getattr, 0, &got, sizeof got, 0) < 0)
            return 2;
        /* Under SCHED_IDLE the nice value stays what it was, and the tests may run under one. */
        if (got.policy != asked->policy ||
            (got.nice != asked->nice && asked->policy != SCHED_IDLE) ||
            got.priority != asked->priority || got.flags != asked->flags)
            return 3;
        if (asked->policy == POLICY_DEADLINE &&
            (got.runtime != asked->runtime || got.deadline != asked->deadline ||
             got.period != asked->period))
            return 4;
    }
    if (process->has_io_priority &&
        syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) !=
            (long)IOPRIO_PRIO_VALUE(process->io_priority_class, process->io_priority))
        return 5;
    return 0;
}

static void assert_applied(const struct config_process *process)
{
    pid_t child = fork();
    if (child == 0)
        _exit(apply_and_compare(process));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void nothing_given_changes_nothing(void **state)
{
    (void)state;
    struct config_process process = {0};
    long before = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    assert_int_equal(scheduling_apply(&process, NULL), 0);
    assert_int_equal(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), before);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static void nice_and_batch_are_applied(void **state)
{
    (void)state;
    struct config_scheduler scheduler = {.policy = SCHED_BATCH, .nice = 7};
    assert_applied(&(struct config_process){.scheduler = &scheduler});
    scheduler = (struct config_scheduler){.policy = SCHED_IDLE};
    assert_applied(&(struct config_process){.scheduler = &scheduler});
}

static void realtime_and_its_flag_are_applied(void **state)
{
    (void)state;
    struct config_scheduler scheduler = {.policy = SCHED_RR, .priority = 3, .flags = RESET_ON_FORK};
    assert_applied(&(struct config_process){.scheduler = &scheduler});
}

static void a_deadline_is_applied(void **state)
{
    (void)state;
    struct config_scheduler scheduler = {
        .policy = POLICY_DEADLINE, .runtime = 100000, .deadline = 10000000, .period = 20000000};
    assert_applied(&(struct config_process){.scheduler = &scheduler});
}

static void io_priorities_are_applied(void **state)
{
    (void)state;
    for (int class = 2; class <= 3; class ++)
        assert_applied(&(struct config_process){
            .has_io_priority = true, .io_priority_class = class, .io_priority = 6});
    assert_applied(&(struct config_process){
        .has_io_priority = true, .io_priority_class = 1, .io_priority = 0});
}

static void errors_name_what_was_asked_for(void **state)
{
    (void)state;
    struct error err = {0};
    struct config_scheduler scheduler = {.policy = SCHED_FIFO, .priority = 1000};
    struct config_process process = {.scheduler = &scheduler};
    assert_int_equal(scheduling_apply(&process, &err), -1);
    assert_int_equal(err.code, EINVAL);
    assert_non_null(strstr(err.text, "process.scheduler"));
    process =
        (struct config_process){.has_io_priority = true, .io_priority_class = 6, .io_priority = 1};
    assert_int_equal(scheduling_apply(&process, &err), -1);
    assert_non_null(strstr(err.text, "process.ioPriority (class 6, priority 1)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_changes_nothing),
        cmocka_unit_test(nice_and_batch_are_applied),
        cmocka_unit_test(realtime_and_its_flag_are_applied),
        cmocka_unit_test(a_deadline_is_applied),
        cmocka_unit_test(io_priorities_are_applied),
        cmocka_unit_test(errors_name_what_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
