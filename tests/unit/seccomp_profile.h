/* Profiles of one rule, and children that run under them: for the tests of container/seccomp. */
#ifndef HULL_TESTS_UNIT_SECCOMP_PROFILE_H
#define HULL_TESTS_UNIT_SECCOMP_PROFILE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "container/seccomp.h"

/* A system call that nobody needs here, for the rules to be about, and one that isn't in a rule. */
#define VICTIM "getppid"
#define VICTIM_NUMBER SYS_getppid
#define UNKNOWN_NUMBER 9999

/* A profile of one rule; tests change what they are about. */
struct profile {
    struct config_seccomp seccomp;
    struct config_seccomp_rule rule;
    const char *names[4];
    const char *architectures[2];
    struct config_seccomp_argument arguments[3];
};

static inline struct config_seccomp *make_profile(struct profile *profile,
                                                  const char *default_action, const char *action)
{
    *profile = (struct profile){.names = {VICTIM}};
    profile->seccomp.default_action = default_action;
    profile->seccomp.rules = &profile->rule;
    profile->seccomp.rule_count = 1;
    profile->seccomp.architectures.items = profile->architectures;
    profile->rule.names.items = profile->names;
    profile->rule.names.count = 1;
    profile->rule.action = action;
    profile->rule.arguments = profile->arguments;
    return &profile->seccomp;
}

static inline struct seccomp_program compile(const struct config_seccomp *seccomp)
{
    struct seccomp_program program;
    struct error err = {0};
    if (seccomp_compile(&program, seccomp, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return program;
}

/* Ends a filtered child by nothing but exit_group: a sanitizer's _exit() makes other calls first,
 * which a strict filter refuses. */
static inline void leave(int code)
{
    for (;;)
        syscall(SYS_exit_group, code);
}

/* The wait status of a child that installs the filter and then ends with body's result. */
static inline int run_filtered(const struct config_seccomp *seccomp, int (*body)(void))
{
    struct seccomp_program program = compile(seccomp);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int listener;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            seccomp_install(&program, &listener, NULL) < 0)
            _exit(200);
        leave(body());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    seccomp_program_release(&program);
    return status;
}

static inline void assert_exits(const struct config_seccomp *seccomp, int (*body)(void), int code)
{
    int status = run_filtered(seccomp, body);
    assert_false(WIFSIGNALED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static inline void assert_killed(const struct config_seccomp *seccomp, int (*body)(void))
{
    int status = run_filtered(seccomp, body);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* 0 if the call works, else its errno. */
static inline int call_victim(void)
{
    return syscall(VICTIM_NUMBER) < 0 ? errno : 0;
}

static inline int call_unknown(void)
{
    return syscall(UNKNOWN_NUMBER) < 0 ? errno : 0;
}

#endif
