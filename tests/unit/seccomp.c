/* container/seccomp: every action and operator as the kernel carries it out, each in a child of its
 * own; flags, and what is refused. */
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "container/seccomp_library.h"
#include "seccomp_profile.h"

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

/* In a mount namespace of its own, with something else in libseccomp's place. */
static int compile_without_library(const char *library_path)
{
    struct profile profile;
    struct seccomp_program program;
    struct error err = {0};
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("/dev/null", library_path, NULL, MS_BIND, NULL) < 0)
        return 1;
    make_profile(&profile, "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
    if (seccomp_compile(&program, &profile.seccomp, NULL, &err) == 0)
        return 2;
    return strstr(err.text, "install the package libseccomp2") ? 0 : 3;
}

static void a_missing_library_is_told_with_its_package(void **state)
{
    (void)state;
    struct seccomp_library library;
    assert_int_equal(seccomp_library_open(&library, NULL), 0);
    const char *path = seccomp_library_path(&library);
    assert_non_null(path);
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    seccomp_library_close(&library);
    if (geteuid() != 0)
        skip();
    pid_t child = fork();
    if (child == 0)
        leave(compile_without_library(copy));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
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
        cmocka_unit_test(all_supported_flags_install),
        cmocka_unit_test(absent_flags_mean_spec_allow_and_an_empty_list_none),
        cmocka_unit_test(bad_profiles_are_refused),
        cmocka_unit_test(every_known_name_is_understood),
        cmocka_unit_test(a_missing_library_is_told_with_its_package),
        cmocka_unit_test(installing_unprivileged_without_no_new_privs_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
