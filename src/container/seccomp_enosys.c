#include "container/seccomp_enosys.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

/* An x32 program has the x86_64 architecture, and this bit in its system call numbers. */
#define X32_SYSCALL_BIT 0x40000000U
#define NEVER_ABOVE UINT32_MAX

static struct sock_filter load(size_t offset)
{
    return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter jump_if(uint16_t condition, uint32_t value, uint8_t skip_true,
                                  uint8_t skip_false)
{
    return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | condition, value, skip_true, skip_false);
}

static struct sock_filter return_enosys(void)
{
    return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
}

/* The target is filled in when the stub's length is known. */
static struct sock_filter jump_to_filter(void)
{
    return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
}

/* The highest number that the profile names on architecture, or 0. libseccomp's numbers for calls
 * that the architecture lacks are negative. */
static uint32_t find_highest(const struct seccomp_library *library,
                             const struct config_seccomp *seccomp, uint32_t architecture)
{
    int highest = 0;
    for (size_t rule = 0; rule < seccomp->rule_count; rule++) {
        const struct config_strings *names = &seccomp->rules[rule].names;
        for (size_t i = 0; i < names->count; i++) {
            int number = library->syscall_resolve_name_arch(architecture, names->items[i]);
            if (number > highest)
                highest = number;
        }
    }
    return (uint32_t)highest;
}

/* x86_64 and x32 are one architecture to the kernel. Numbers of an x32 that isn't in the filter
 * are the filter's to refuse. The number -1, which a tracer writes to skip a call, has the bit
 * too. */
static size_t build_x86_64(uint32_t highest, uint32_t highest_x32, struct sock_filter *at)
{
    size_t count = 0;
    at[count++] = load(offsetof(struct seccomp_data, nr));
    at[count++] = jump_if(BPF_JSET, X32_SYSCALL_BIT, 1, 0);
    at[count++] = jump_if(BPF_JGT, highest, 1, 2);
    at[count++] = jump_if(BPF_JGT, highest_x32, 0, 1);
    at[count++] = return_enosys();
    at[count++] = jump_to_filter();
    return count;
}

static size_t build_plain(uint32_t architecture, uint32_t highest, struct sock_filter *at)
{
    size_t count = 0;
    at[count++] = load(offsetof(struct seccomp_data, nr));
    /* System call 0 of s390 carries numbers above 255 in a register; the kernel hands unknown ones
     * on as 0. */
    if (architecture == AUDIT_ARCH_S390 || architecture == AUDIT_ARCH_S390X)
        at[count++] = jump_if(BPF_JEQ, 0, 1, 0);
    at[count++] = jump_if(BPF_JGT, highest, 0, 1);
    at[count++] = return_enosys();
    at[count++] = jump_to_filter();
    return count;
}

size_t seccomp_enosys_build(const struct seccomp_library *library,
                            const struct config_seccomp *seccomp, const uint32_t *architectures,
                            size_t architecture_count, struct sock_filter *stub)
{
    uint32_t highest_x32 = NEVER_ABOVE;
    for (size_t i = 0; i < architecture_count; i++) {
        uint32_t highest;
        if (architectures[i] == SCMP_ARCH_X32 &&
            (highest = find_highest(library, seccomp, SCMP_ARCH_X32)) > 0)
            highest_x32 = highest;
    }
    size_t count = 0;
    stub[count++] = load(offsetof(struct seccomp_data, arch));
    for (size_t i = 0; i < architecture_count; i++) {
        if (architectures[i] == SCMP_ARCH_X32)
            continue;
        uint32_t highest = find_highest(library, seccomp, architectures[i]);
        if (highest == 0)
            continue;
        struct sock_filter *block = stub + count + 1;
        size_t length = architectures[i] == SCMP_ARCH_X86_64
                            ? build_x86_64(highest, highest_x32, block)
                            : build_plain(architectures[i], highest, block);
        /* libseccomp's tokens are the kernel's AUDIT_ARCH_ values, but for x32. */
        stub[count++] = jump_if(BPF_JEQ, architectures[i], 0, (uint8_t)length);
        count += length;
    }
    for (size_t i = 0; i < count; i++) {
        if (stub[i].code == (BPF_JMP | BPF_JA))
            stub[i].k = (uint32_t)(count - i - 1);
    }
    return count;
}
