/* container/seccomp: system calls that the profile doesn't know, and foreign architectures. */
#include "seccomp_profile.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_newer_than_the_profile_are_enosys),
        cmocka_unit_test(calls_in_a_gap_get_the_default_action),
        cmocka_unit_test(a_tracer_sees_new_calls),
        cmocka_unit_test(long_profiles_filter_exactly),
#ifdef __x86_64__
        cmocka_unit_test(x86_is_filtered_if_listed_and_killed_if_not),
        cmocka_unit_test(new_calls_of_x86_are_enosys),
        cmocka_unit_test(x32_is_killed_unless_listed),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
