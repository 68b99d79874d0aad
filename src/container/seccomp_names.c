#include "container/seccomp_names.h"

#include <stddef.h>
#include <string.h>

#include "container/seccomp.h"

static const char *const action_names[] = {
    "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",        NULL,
};
static const uint32_t action_values[] = {
    SCMP_ACT_ALLOW,        SCMP_ACT_ERRNO(0),    SCMP_ACT_KILL_THREAD,
    SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG,
    SCMP_ACT_NOTIFY,       SCMP_ACT_TRACE(0),    SCMP_ACT_TRAP,
};
_Static_assert(sizeof action_names / sizeof *action_names ==
                   sizeof action_values / sizeof *action_values + 1,
               "one value an action");

static const char *const operator_names[] = {
    "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
    "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
};
static const enum scmp_compare operator_values[] = {
    SCMP_CMP_EQ, SCMP_CMP_GE,        SCMP_CMP_GT, SCMP_CMP_LE,
    SCMP_CMP_LT, SCMP_CMP_MASKED_EQ, SCMP_CMP_NE,
};
_Static_assert(sizeof operator_names / sizeof *operator_names ==
                   sizeof operator_values / sizeof *operator_values + 1,
               "one value an operator");

static const char *const architecture_names[] = {
    "SCMP_ARCH_AARCH64",  "SCMP_ARCH_ARM",         "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",      "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",       "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",       "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",      "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64",      NULL,
};

_Static_assert(sizeof architecture_names / sizeof *architecture_names <= SECCOMP_ARCHITECTURE_LIMIT,
               "room for every architecture");

const char *const *seccomp_actions(void)
{
    return action_names;
}

const char *const *seccomp_operators(void)
{
    return operator_names;
}

const char *const *seccomp_architectures(void)
{
    return architecture_names;
}

int seccomp_find_name(const char *const *names, const char *name)
{
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return -1;
}

uint32_t seccomp_action_value(int index)
{
    return action_values[index];
}

enum scmp_compare seccomp_operator_value(int index)
{
    return operator_values[index];
}
