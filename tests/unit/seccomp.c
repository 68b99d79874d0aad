/* container/seccomp: every action, operator and architecture as the kernel carries it out, each in
 * a child of its own. */
#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
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

static struct config_seccomp *make_profile(struct profile *profile, const char *default_action,
                                           const char *action)
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

static struct seccomp_program compile(const struct config_seccomp *seccomp)
{
    struct seccomp_program program;
    struct error err = {0};
    if (seccomp_compile(&program, seccomp, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return program;
}

/* The wait status of a child that installs the filter and then ends with body's result. */
static int run_filtered(const struct config_seccomp *seccomp, int (*body)(void))
{
    struct seccomp_program program = compile(seccomp);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int listener;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            seccomp_install(&program, &listener, NULL) < 0)
            _exit(200);
        _exit(body());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    seccomp_program_release(&program);
    return status;
}

static void assert_exits(const struct config_seccomp *seccomp, int (*body)(void), int code)
{
    int status = run_filtered(seccomp, body);
    assert_false(WIFSIGNALED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void assert_killed(const struct config_seccomp *seccomp, int (*body)(void))
{
    int status = run_filtered(seccomp, body);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* 0 if the call works, else its errno. */
static int call_victim(void)
{
    return syscall(VICTIM_NUMBER) < 0 ? errno : 0;
}

static int call_unknown(void)
{
    return syscall(UNKNOWN_NUMBER) < 0 ? errno : 0;
}

/* ---- actions ---- */

static void errno_is_returned_and_defaults_to_eperm(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    assert_exits(seccomp, call_victim, EPERM);
    profile.rule.has_errno = true;
    profile.rule.errno_value = ENOTTY;
    assert_exits(seccomp, call_victim, ENOTTY);
    assert_exits(seccomp, call_unknown, ENOSYS);
}

static void default_errno_is_returned(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.names[0] = "exit_group";
    assert_exits(seccomp, call_victim, EPERM);
    seccomp->has_default_errno = true;
    seccomp->default_errno = ENOTTY;
    assert_exits(seccomp, call_victim, ENOTTY);
}

static void kill_actions_kill(void **state)
{
    (void)state;
    static const char *const actions[] = {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD",
                                          "SCMP_ACT_KILL_PROCESS"};
    for (size_t i = 0; i < 3; i++) {
        struct profile profile;
        assert_killed(make_profile(&profile, "SCMP_ACT_ALLOW", actions[i]), call_victim);
    }
}

static void *call_victim_in_thread(void *unused)
{
    syscall(VICTIM_NUMBER);
    return unused;
}

static int outlive_thread(void)
{
    pthread_t thread;
    void *result = NULL;
    if (pthread_create(&thread, NULL, call_victim_in_thread, NULL) != 0)
        return 1;
    return pthread_join(thread, &result) == 0 ? 42 : 2;
}

static void kill_thread_spares_the_process(void **state)
{
    (void)state;
    struct profile profile;
    assert_exits(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_THREAD"), outlive_thread,
                 42);
    assert_killed(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"),
                  outlive_thread);
}

static void end_in_handler(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    _exit(info->si_syscall == VICTIM_NUMBER ? 43 : 1);
}

static int call_victim_with_handler(void)
{
    struct sigaction action = {.sa_sigaction = end_in_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    syscall(VICTIM_NUMBER);
    return 2;
}

static void trap_sends_sigsys(void **state)
{
    (void)state;
    struct profile profile;
    assert_exits(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_TRAP"),
                 call_victim_with_handler, 43);
}

static void trace_without_tracer_is_enosys(void **state)
{
    (void)state;
    struct profile profile;
    assert_exits(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_TRACE"), call_victim, ENOSYS);
}

static void log_and_allow_let_pass(void **state)
{
    (void)state;
    struct profile profile;
    assert_exits(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"), call_victim, 0);
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.names[profile.rule.names.count++] = "exit_group";
    assert_exits(seccomp, call_victim, 0);
}

static void rules_of_the_default_action_are_redundant(void **state)
{
    (void)state;
    struct profile profile;
    assert_exits(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW"), call_victim, 0);
}

/* ---- arguments ---- */

#define MATCHED 99

static uint64_t victim_arguments[3];

/* getpgid of a process that can't be: never MATCHED unless by the filter. */
static int call_with_arguments(void)
{
    long result =
        syscall(SYS_getpgid, victim_arguments[0], victim_arguments[1], victim_arguments[2]);
    return result < 0 && errno == MATCHED ? MATCHED : 0;
}

static struct config_seccomp *make_argument_profile(struct profile *profile)
{
    struct config_seccomp *seccomp = make_profile(profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    profile->names[0] = "getpgid";
    profile->rule.has_errno = true;
    profile->rule.errno_value = MATCHED;
    return seccomp;
}

static void operators_compare_64_bits(void **state)
{
    (void)state;
    static const uint64_t high = UINT64_C(0x100000000);
    static const struct {
        const char *op;
        uint64_t value, value_two, argument;
        bool matches;
    } cases[] = {
        {"SCMP_CMP_EQ", 7, 0, 7, true},
        {"SCMP_CMP_EQ", 7, 0, high + 7, false},
        {"SCMP_CMP_NE", 7, 0, high + 7, true},
        {"SCMP_CMP_NE", 7, 0, 7, false},
        {"SCMP_CMP_LT", high, 0, 5, true},
        {"SCMP_CMP_LT", high, 0, high, false},
        {"SCMP_CMP_LE", high, 0, high, true},
        {"SCMP_CMP_LE", high, 0, high + 1, false},
        {"SCMP_CMP_GE", high, 0, high, true},
        {"SCMP_CMP_GE", high, 0, high - 1, false},
        {"SCMP_CMP_GT", high, 0, high + 1, true},
        {"SCMP_CMP_GT", high, 0, high, false},
        {"SCMP_CMP_MASKED_EQ", 0xf0, 0x30, 0x1f3f, true},
        {"SCMP_CMP_MASKED_EQ", 0xf0, 0x30, 0x20, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct profile profile;
        struct config_seccomp *seccomp = make_argument_profile(&profile);
        profile.rule.argument_count = 1;
        profile.arguments[0] =
            (struct config_seccomp_argument){1, cases[i].value, cases[i].value_two, cases[i].op};
        victim_arguments[1] = cases[i].argument;
        int status = run_filtered(seccomp, call_with_arguments);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != (cases[i].matches ? MATCHED : 0))
            fail_msg("case %zu (%s): status %#x", i, cases[i].op, status);
    }
}

static int match_arguments(const struct config_seccomp *seccomp, uint64_t zero, uint64_t one)
{
    victim_arguments[0] = zero;
    victim_arguments[1] = one;
    int status = run_filtered(seccomp, call_with_arguments);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void conditions_on_different_arguments_must_all_hold(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_argument_profile(&profile);
    profile.rule.argument_count = 2;
    profile.arguments[0] = (struct config_seccomp_argument){0, 1000000001, 0, "SCMP_CMP_EQ"};
    profile.arguments[1] = (struct config_seccomp_argument){1, 5, 0, "SCMP_CMP_EQ"};
    assert_int_equal(match_arguments(seccomp, 1000000001, 5), MATCHED);
    assert_int_equal(match_arguments(seccomp, 1000000001, 6), 0);
    assert_int_equal(match_arguments(seccomp, 1000000002, 5), 0);
}

static void of_conditions_on_one_argument_any_suffices(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_argument_profile(&profile);
    profile.rule.argument_count = 3;
    profile.arguments[0] = (struct config_seccomp_argument){0, 1000000001, 0, "SCMP_CMP_EQ"};
    profile.arguments[1] = (struct config_seccomp_argument){0, 1000000002, 0, "SCMP_CMP_EQ"};
    profile.arguments[2] = (struct config_seccomp_argument){1, 5, 0, "SCMP_CMP_EQ"};
    assert_int_equal(match_arguments(seccomp, 1000000001, 6), MATCHED);
    assert_int_equal(match_arguments(seccomp, 1000000002, 6), MATCHED);
    assert_int_equal(match_arguments(seccomp, 1000000003, 5), MATCHED);
    assert_int_equal(match_arguments(seccomp, 1000000003, 6), 0);
}

/* ---- new system calls, many rules ---- */

static void calls_newer_than_the_profile_are_enosys(void **state)
{
    (void)state;
    static const char *const strict[] = {"SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS",
                                         "SCMP_ACT_TRAP"};
    for (size_t i = 0; i < 3; i++) {
        struct profile profile;
        struct config_seccomp *seccomp = make_profile(&profile, strict[i], "SCMP_ACT_ALLOW");
        profile.names[0] = "exit_group";
        assert_exits(seccomp, call_unknown, ENOSYS);
    }
}

static int call_gap(void)
{
    return syscall(SYS_getpgid, 0) < 0 ? errno : 0;
}

static void calls_in_a_gap_get_the_default_action(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.names[0] = "exit_group"; /* its number is higher */
    assert_true(SYS_getpgid < SYS_exit_group);
    assert_exits(seccomp, call_gap, EPERM);
}

static void a_tracer_sees_new_calls(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW");
    struct seccomp_program traced = compile(seccomp);
    seccomp->default_action = "SCMP_ACT_ERRNO";
    struct seccomp_program answered = compile(seccomp);
    assert_true(answered.filter.len > traced.filter.len);
    seccomp_program_release(&traced);
    seccomp_program_release(&answered);
}

static void long_profiles_filter_exactly(void **state)
{
    (void)state;
    /* Above the threshold of the search tree; with names that no libseccomp knows. */
    static const char *names[] = {
        "read",       "close",  "fstat",        "lseek",        "mmap",     "mprotect",
        "munmap",     "brk",    "ioctl",        "pread64",      "pwrite64", "readv",
        "writev",     "dup",    "getpid",       "socket",       "connect",  "clone",
        "execve",     "exit",   "uname",        "fcntl",        "flock",    "fsync",
        "truncate",   "getcwd", "chdir",        "rename",       "mkdir",    "rmdir",
        "creat",      "link",   "unlink",       "symlink",      "chmod",    "umask",
        "exit_group", "openat", "rt_sigreturn", "rt_sigaction", "gettid",   "of_no_kernel",
    };
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.rule.names.items = names;
    profile.rule.names.count = sizeof names / sizeof *names;
    assert_exits(seccomp, call_gap, EPERM);
    assert_exits(seccomp, call_victim, EPERM);
    assert_exits(seccomp, call_unknown, ENOSYS);
    names[0] = VICTIM;
    assert_exits(seccomp, call_victim, 0);
}

/* ---- architectures ---- */

#ifdef __x86_64__
static int call_32_bit(int number)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number) : "memory", "cc");
    return result < 0 ? -result : 0;
}

static int call_32_bit_victim(void)
{
    return call_32_bit(64); /* getppid of i386 */
}

static int call_32_bit_unknown(void)
{
    return call_32_bit(UNKNOWN_NUMBER);
}

static int call_x32(void)
{
    return syscall(0x40000000 | SYS_getpid) < 0 ? errno : 0;
}

static int call_x32_unknown(void)
{
    return syscall(0x40000000 | UNKNOWN_NUMBER) < 0 ? errno : 0;
}

static bool kernel_runs_32_bit(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(call_32_bit(20) == 0 ? 0 : 1); /* getpid of i386 */
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

static void x86_is_filtered_if_listed_and_killed_if_not(void **state)
{
    (void)state;
    if (!kernel_runs_32_bit())
        skip();
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    assert_killed(seccomp, call_32_bit_victim);
    profile.architectures[0] = "SCMP_ARCH_X86_64";
    seccomp->architectures.count = 1;
    assert_killed(seccomp, call_32_bit_victim);
    profile.architectures[1] = "SCMP_ARCH_X86";
    seccomp->architectures.count = 2;
    assert_exits(seccomp, call_32_bit_victim, EPERM);
    assert_exits(seccomp, call_victim, EPERM);
}

static void new_calls_of_x86_are_enosys(void **state)
{
    (void)state;
    if (!kernel_runs_32_bit())
        skip();
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.names[0] = "exit_group";
    profile.names[profile.rule.names.count++] = "gettid";
    profile.architectures[0] = "SCMP_ARCH_X86";
    seccomp->architectures.count = 1;
    assert_exits(seccomp, call_32_bit_unknown, ENOSYS);
    assert_exits(seccomp, call_32_bit_victim, EPERM);
    assert_exits(seccomp, call_unknown, ENOSYS);
    assert_exits(seccomp, call_victim, EPERM);
}

static void x32_is_killed_unless_listed(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.names[0] = "exit_group";
    assert_killed(seccomp, call_x32);
    assert_killed(seccomp, call_x32_unknown);
    profile.architectures[0] = "SCMP_ARCH_X32";
    seccomp->architectures.count = 1;
    assert_exits(seccomp, call_x32, EPERM);
    assert_exits(seccomp, call_x32_unknown, ENOSYS);
    assert_exits(seccomp, call_victim, EPERM);
}
#endif

/* ---- flags, refusals ---- */

static int read_mode(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

static void all_supported_flags_install(void **state)
{
    (void)state;
    const char *supported[8];
    seccomp_supported_flags(supported);
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    seccomp->flags.items = supported;
    while (supported[seccomp->flags.count])
        seccomp->flags.count++;
    assert_true(seccomp->flags.count >= 3);
    assert_exits(seccomp, read_mode, SECCOMP_MODE_FILTER);
    seccomp->listener_path = "/unused";
    profile.rule.action = "SCMP_ACT_NOTIFY";
    assert_exits(seccomp, read_mode, SECCOMP_MODE_FILTER);
}

static void absent_flags_mean_spec_allow_and_an_empty_list_none(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    struct seccomp_program program = compile(seccomp);
    assert_int_equal(program.flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    seccomp_program_release(&program);
    const char *none[] = {NULL};
    seccomp->flags.items = none;
    program = compile(seccomp);
    assert_int_equal(program.flags, 0);
    seccomp_program_release(&program);
}

static void assert_refused(const struct config_seccomp *seccomp, const char *reason)
{
    struct seccomp_program program;
    struct error err = {0};
    assert_int_equal(seccomp_compile(&program, seccomp, NULL, &err), -1);
    if (!strstr(err.text, reason))
        fail_msg("'%s' doesn't say '%s'", err.text, reason);
    assert_null(program.filter.filter);
}

static void bad_profiles_are_refused(void **state)
{
    (void)state;
    struct profile profile;
    struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY");
    assert_refused(seccomp, "listenerPath");
    seccomp->listener_path = "/unused";
    profile.names[0] = "write";
    assert_refused(seccomp, "can't be used for write");
    seccomp = make_profile(&profile, "SCMP_ACT_NOTIFY", "SCMP_ACT_ALLOW");
    assert_refused(seccomp, "can't be the default");
    seccomp = make_profile(&profile, "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    profile.rule.has_errno = true;
    assert_refused(seccomp, "errnoRet is given, but SCMP_ACT_ALLOW takes none");
    seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    profile.rule.has_errno = true;
    profile.rule.errno_value = 4096;
    assert_refused(seccomp, "too large");
    seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    profile.architectures[0] = "SCMP_ARCH_PDP11";
    seccomp->architectures.count = 1;
    assert_refused(seccomp, "unknown architecture SCMP_ARCH_PDP11");
    profile.architectures[0] = "SCMP_ARCH_S390X"; /* the other byte order */
    assert_refused(seccomp, "can't add SCMP_ARCH_S390X");
    seccomp->architectures.count = 0;
    const char *flags[] = {"SECCOMP_FILTER_FLAG_NEW_LISTENER"};
    seccomp->flags = (struct config_strings){1, flags};
    assert_refused(seccomp, "unknown flag");
}

static void every_known_name_is_understood(void **state)
{
    (void)state;
    for (const char *const *action = seccomp_actions(); *action; action++) {
        struct profile profile;
        struct config_seccomp *seccomp = make_profile(&profile, "SCMP_ACT_ALLOW", *action);
        seccomp->listener_path = "/unused";
        struct seccomp_program program = compile(seccomp);
        assert_true(program.filter.len > 0);
        assert_int_equal(program.notify, strcmp(*action, "SCMP_ACT_NOTIFY") == 0);
        seccomp_program_release(&program);
    }
    for (const char *const *op = seccomp_operators(); *op; op++) {
        struct profile profile;
        struct config_seccomp *seccomp = make_argument_profile(&profile);
        profile.rule.argument_count = 1;
        profile.arguments[0].op = *op;
        struct seccomp_program program = compile(seccomp);
        seccomp_program_release(&program);
    }
}

static void installing_unprivileged_without_no_new_privs_says_so(void **state)
{
    (void)state;
    struct profile profile;
    struct seccomp_program program =
        compile(make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"));
    pid_t child = fork();
    if (child == 0) {
        struct error err = {0};
        int listener;
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(1);
        int result = seccomp_install(&program, &listener, &err);
        _exit(result < 0 && strstr(err.text, "no_new_privs") ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    seccomp_program_release(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_is_returned_and_defaults_to_eperm),
        cmocka_unit_test(default_errno_is_returned),
        cmocka_unit_test(kill_actions_kill),
        cmocka_unit_test(kill_thread_spares_the_process),
        cmocka_unit_test(trap_sends_sigsys),
        cmocka_unit_test(trace_without_tracer_is_enosys),
        cmocka_unit_test(log_and_allow_let_pass),
        cmocka_unit_test(rules_of_the_default_action_are_redundant),
        cmocka_unit_test(operators_compare_64_bits),
        cmocka_unit_test(conditions_on_different_arguments_must_all_hold),
        cmocka_unit_test(of_conditions_on_one_argument_any_suffices),
        cmocka_unit_test(calls_newer_than_the_profile_are_enosys),
        cmocka_unit_test(calls_in_a_gap_get_the_default_action),
        cmocka_unit_test(a_tracer_sees_new_calls),
        cmocka_unit_test(long_profiles_filter_exactly),
#ifdef __x86_64__
        cmocka_unit_test(x86_is_filtered_if_listed_and_killed_if_not),
        cmocka_unit_test(new_calls_of_x86_are_enosys),
        cmocka_unit_test(x32_is_killed_unless_listed),
#endif
        cmocka_unit_test(all_supported_flags_install),
        cmocka_unit_test(absent_flags_mean_spec_allow_and_an_empty_list_none),
        cmocka_unit_test(bad_profiles_are_refused),
        cmocka_unit_test(every_known_name_is_understood),
        cmocka_unit_test(installing_unprivileged_without_no_new_privs_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
