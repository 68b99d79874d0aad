#include "vm/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vm/confine_rules.h"
#include "vm/system_call_names.h"

#define INSTRUCTIONS_MAX 1024

/* The process's one state. */
static struct {
    bool is_on;
    unsigned features;
    void (*last_words)(const char *text);
} confinement;

/* ---- What happens to a thread that isn't content ---- */

static void on_bad_call(int number, siginfo_t *info, void *context)
{
    char text[128];
    unsigned call = (unsigned)info->si_syscall;
    const char *name = call < sizeof system_call_names / sizeof *system_call_names
                           ? system_call_names[call]
                           : NULL;
    (void)number, (void)context;
    snprintf(text, sizeof text,
             "a thread made the system call %s (%u), which it may not: the monitor ends\n",
             name ? name : "without a name", call);
    confinement.last_words(text);
    _exit(CONFINE_EXIT_CODE);
}

int confine_begin(void (*last_words)(const char *text), struct error *err)
{
    struct sigaction action = {.sa_sigaction = on_bad_call, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, errno, "can't set no_new_privs");
    if (sigaction(SIGSYS, &action, NULL) < 0)
        return error_set(err, errno, "can't handle the signal of a bad system call");
    tzset(); /* reads a file, once: later the C library would in any thread that formats a time */
    confinement.is_on = true;
    confinement.last_words = last_words;
    return 0;
}

void confine_allow(unsigned features)
{
    confinement.features |= features;
}

/* ---- From lists to a program (seccomp(2), Documentation/networking/filter.rst) ---- */

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short length;
};

static void put(struct program *program, uint16_t code, uint32_t value, uint8_t if_true,
                uint8_t if_false)
{
    if (program->length < INSTRUCTIONS_MAX)
        program->code[program->length++] = (struct sock_filter){code, if_true, if_false, value};
}

static void load(struct program *program, size_t offset)
{
    put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void load_call(struct program *program)
{
    load(program, offsetof(struct seccomp_data, nr));
}

static void finish(struct program *program, uint32_t action)
{
    put(program, BPF_RET | BPF_K, action, 0, 0);
}

/* The call's number is loaded, before and, where the rule doesn't allow it, behind this. */
static void put_rule(struct program *program, const struct confine_rule *rule)
{
    const size_t argument = offsetof(struct seccomp_data, args) + rule->argument * sizeof(uint64_t);
    const uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
    const uint32_t self = rule->check == CONFINE_SELF ? (uint32_t)getpid() : 0;
    const uint32_t *values = rule->check == CONFINE_SELF ? &self : rule->values;
    const uint8_t count = rule->check == CONFINE_SELF ? 1 : rule->count;
    switch ((enum confine_check)rule->check) {
    case CONFINE_ANY:
    case CONFINE_FAIL:
        put(program, equal, rule->call, 0, 1);
        finish(program,
               rule->check == CONFINE_ANY ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | rule->mask);
        break;
    case CONFINE_WITHOUT:
        put(program, equal, rule->call, 0, 4);
        load(program, argument);
        put(program, BPF_JMP | BPF_JSET | BPF_K, rule->mask, 1, 0);
        finish(program, SECCOMP_RET_ALLOW);
        load_call(program);
        break;
    case CONFINE_WITH:
        put(program, equal, rule->call, 0, 5);
        load(program, argument);
        put(program, BPF_ALU | BPF_AND | BPF_K, rule->mask, 0, 0);
        put(program, equal, rule->mask, 0, 1);
        finish(program, SECCOMP_RET_ALLOW);
        load_call(program);
        break;
    case CONFINE_ONE_OF:
    case CONFINE_SELF:
        put(program, equal, rule->call, 0, (uint8_t)(count + 4));
        load(program, argument);
        for (uint8_t i = 0; i < count; i++)
            put(program, equal, values[i], (uint8_t)(count + 1 - i), 0);
        load_call(program);
        put(program, BPF_JMP | BPF_JA, 1, 0, 0);
        finish(program, SECCOMP_RET_ALLOW);
        break;
    }
}

static void build(struct program *program, enum confine_thread kind)
{
    struct confine_list lists[CONFINE_LISTS_MAX];
    unsigned count = confine_lists(kind, confinement.features, lists);
    load(program, offsetof(struct seccomp_data, arch));
    put(program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    finish(program, SECCOMP_RET_KILL_PROCESS);
    load_call(program);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned n = 0; n < lists[i].count; n++)
            put_rule(program, &lists[i].rules[n]);
    }
    finish(program, SECCOMP_RET_TRAP);
}

int confine_thread(enum confine_thread kind, struct error *err)
{
    struct program program = {.length = 0};
    sigset_t bad_call;
    if (!confinement.is_on)
        return 0;
    build(&program, kind);
    struct sock_fprog filter = {.len = program.length, .filter = program.code};
    /* Blocked, it would end the process without a word. */
    sigemptyset(&bad_call);
    sigaddset(&bad_call, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &bad_call, NULL);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return error_set(err, errno, "can't filter a thread's system calls");
    return 0;
}
