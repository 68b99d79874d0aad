/* The device rules of a v2 cgroup as an eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE), which the
 * kernel asks at each open and mknod of a device.
 *
 * The rules stand in it last first. r3 holds the kinds of access asked for and not yet decided:
 * an allowing rule that matches the device takes its kinds away, and nothing left means yes; a
 * denying rule that matches and names a kind that is left means no.
 *
 * Loading it is part of a container's start, and the verifier looks at both sides of each
 * conditional jump (some 5 us each). So neighbours of one type share one test of it, major and
 * minor are compared in one go, and a rule for all kinds of access doesn't compute with r3. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/cgroup_internal.h"

_Static_assert((int)DEVICE_MKNOD == (int)BPF_DEVCG_ACC_MKNOD &&
                   (int)DEVICE_READ == (int)BPF_DEVCG_ACC_READ &&
                   (int)DEVICE_WRITE == (int)BPF_DEVCG_ACC_WRITE,
               "the kernel's bits");

#define PROGRAM_NAME "hull_devices"
#define INSTRUCTIONS_PER_RULE 8
#define PROLOGUE 9
#define GROUP_MAX 1000 /* rules; a jump reaches over 32767 instructions */

/* Where things are while the program runs. (r1: the context, at the start.) */
enum {
    TYPE = BPF_REG_2,
    LEFT = BPF_REG_3, /* kinds of access not decided yet */
    MAJOR = BPF_REG_4,
    MINOR = BPF_REG_5,
    NUMBER = BPF_REG_6, /* major << 20 | minor, as in the kernel: majors have 12 bits */
};

struct assembly {
    struct bpf_insn *instructions;
    size_t count;
};

static void emit(struct assembly *to, int code, int target, int source, int offset, int immediate)
{
    to->instructions[to->count++] = (struct bpf_insn){
        .code = (__u8)code,
        .dst_reg = (__u8)target & 0xf,
        .src_reg = (__u8)source & 0xf,
        .off = (__s16)offset,
        .imm = immediate,
    };
}

static void emit_return(struct assembly *to, int value)
{
    emit(to, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
    emit(to, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Emits the tests of a rule's numbers; each jumps to the next rule, once that is known. */
static size_t emit_tests(struct assembly *to, const struct device_rule *rule, size_t jumps[2])
{
    size_t count = 0;
    /* (Constants have a sign, so numbers with the 32nd bit are compared in two steps.) */
    if (rule->major >= 0 && rule->minor >= 0 && rule->major < 2048) {
        jumps[count++] = to->count;
        emit(to, BPF_JMP | BPF_JNE | BPF_K, NUMBER, 0, 0, (int)(rule->major << 20 | rule->minor));
        return count;
    }
    if (rule->major >= 0) {
        jumps[count++] = to->count;
        emit(to, BPF_JMP | BPF_JNE | BPF_K, MAJOR, 0, 0, (int)rule->major);
    }
    if (rule->minor >= 0) {
        jumps[count++] = to->count;
        emit(to, BPF_JMP | BPF_JNE | BPF_K, MINOR, 0, 0, (int)rule->minor);
    }
    return count;
}

/* Emits one rule for devices whose type is known to match. True if it decides for all of them:
 * nothing may follow then, as the kernel takes no program with instructions that can't be
 * reached. */
static bool emit_rule(struct assembly *to, const struct device_rule *rule)
{
    size_t jumps[3];
    if (rule->major >= 1 << 12 || rule->minor >= 1 << 20) /* there is no such device */
        return false;
    size_t jump_count = emit_tests(to, rule, jumps);
    bool decides = jump_count == 0 && rule->access == DEVICE_ALL;
    if (rule->access == DEVICE_ALL) {
        emit_return(to, rule->allow ? 1 : 0);
    } else if (rule->allow) {
        emit(to, BPF_ALU64 | BPF_AND | BPF_K, LEFT, 0, 0, (int)(~rule->access & DEVICE_ALL));
        jumps[jump_count++] = to->count;
        emit(to, BPF_JMP | BPF_JNE | BPF_K, LEFT, 0, 0, 0);
        emit_return(to, 1);
    } else {
        emit(to, BPF_JMP | BPF_JSET | BPF_K, LEFT, 0, 1, (int)rule->access);
        jumps[jump_count++] = to->count;
        emit(to, BPF_JMP | BPF_JA, 0, 0, 0, 0);
        emit_return(to, 0);
    }
    for (size_t i = 0; i < jump_count; i++)
        to->instructions[jumps[i]].off = (__s16)(to->count - jumps[i] - 1);
    return decides;
}

/* struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor; each 32 bits. */
static void emit_prologue(struct assembly *to)
{
    emit(to, BPF_LDX | BPF_MEM | BPF_W, TYPE, BPF_REG_1, 0, 0);
    emit(to, BPF_ALU64 | BPF_MOV | BPF_X, LEFT, TYPE, 0, 0);
    emit(to, BPF_ALU64 | BPF_RSH | BPF_K, LEFT, 0, 0, 16);
    emit(to, BPF_ALU64 | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
    emit(to, BPF_LDX | BPF_MEM | BPF_W, MAJOR, BPF_REG_1, 4, 0);
    emit(to, BPF_LDX | BPF_MEM | BPF_W, MINOR, BPF_REG_1, 8, 0);
    emit(to, BPF_ALU64 | BPF_MOV | BPF_X, NUMBER, MAJOR, 0, 0);
    emit(to, BPF_ALU64 | BPF_LSH | BPF_K, NUMBER, 0, 0, 20);
    emit(to, BPF_ALU64 | BPF_OR | BPF_X, NUMBER, MINOR, 0, 0);
}

struct bpf_insn *device_program_build(const struct device_rule *rules, size_t rule_count,
                                      bool allow, size_t *count)
{
    struct assembly to = {
        .instructions = memory_allocate(PROLOGUE + INSTRUCTIONS_PER_RULE * rule_count + 2,
                                        sizeof(struct bpf_insn)),
    };
    emit_prologue(&to);
    for (size_t left = rule_count; left > 0;) {
        char type = rules[left - 1].type;
        size_t test = to.count;
        emit(&to, BPF_JMP | BPF_JNE | BPF_K, TYPE, 0, 0,
             type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        bool decided = false;
        for (size_t i = 0; i < GROUP_MAX && left > 0 && rules[left - 1].type == type; i++, left--)
            decided = decided || emit_rule(&to, &rules[left - 1]);
        to.instructions[test].off = (__s16)(to.count - test - 1);
    }
    emit_return(&to, allow ? 1 : 0);
    *count = to.count;
    return to.instructions;
}

static int call_bpf(int command, union bpf_attr *attributes)
{
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int load(const struct bpf_insn *program, size_t count, struct error *err)
{
    union bpf_attr attributes = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = (__u32)count,
        .insns = (__u64)(uintptr_t)program,
        .license = (__u64)(uintptr_t) "Apache-2.0",
        .prog_name = PROGRAM_NAME,
    };
    int fd = call_bpf(BPF_PROG_LOAD, &attributes);
    if (fd < 0 && errno == EPERM) {
        /* Before Linux 5.11 programs count as locked memory. */
        struct rlimit old, lifted = {RLIM_INFINITY, RLIM_INFINITY};
        if (getrlimit(RLIMIT_MEMLOCK, &old) == 0 && setrlimit(RLIMIT_MEMLOCK, &lifted) == 0) {
            fd = call_bpf(BPF_PROG_LOAD, &attributes);
            setrlimit(RLIMIT_MEMLOCK, &old);
        }
    }
    if (fd < 0)
        return error_set(err, errno, "can't load the container's device rules as an eBPF program");
    return fd;
}

/* Is the program of this number one of ours? Returns a descriptor for it, or -1. */
static int open_ours(__u32 id)
{
    union bpf_attr attributes = {.prog_id = id};
    scope_close int fd = call_bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
    if (fd < 0)
        return -1;
    struct bpf_prog_info info = {0};
    memset(&attributes, 0, sizeof attributes);
    attributes.info.bpf_fd = (__u32)fd;
    attributes.info.info_len = sizeof info;
    attributes.info.info = (__u64)(uintptr_t)&info;
    if (call_bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) < 0 ||
        strncmp(info.name, PROGRAM_NAME, sizeof info.name) != 0)
        return -1;
    return scope_take_fd(&fd);
}

static int attach(int directory, int program, int replaced)
{
    union bpf_attr attributes = {
        .target_fd = (__u32)directory,
        .attach_bpf_fd = (__u32)program,
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0U),
    };
    if (replaced >= 0)
        attributes.replace_bpf_fd = (__u32)replaced;
    return call_bpf(BPF_PROG_ATTACH, &attributes);
}

static int detach(int directory, int program)
{
    union bpf_attr attributes = {
        .target_fd = (__u32)directory,
        .attach_bpf_fd = (__u32)program,
        .attach_type = BPF_CGROUP_DEVICE,
    };
    return call_bpf(BPF_PROG_DETACH, &attributes);
}

/* Several programs on one cgroup must all agree. So one of ours that is there already (the cgroup
 * had rules before) is replaced; others, systemd's for example, stay. */
int device_program_attach(const char *path, const struct bpf_insn *program, size_t count,
                          struct error *err)
{
    scope_close int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return error_set(err, errno, "can't open cgroup %s", path);
    scope_close int new = load(program, count, err);
    if (new < 0)
        return -1;
    __u32 ids[64];
    union bpf_attr attributes = {
        .query.target_fd = (__u32)directory,
        .query.attach_type = BPF_CGROUP_DEVICE,
        .query.prog_ids = (__u64)(uintptr_t)ids,
        .query.prog_cnt = sizeof ids / sizeof *ids,
    };
    if (call_bpf(BPF_PROG_QUERY, &attributes) < 0)
        return error_set(err, errno, "can't list the eBPF programs of cgroup %s", path);
    bool attached = false;
    for (__u32 i = 0; i < attributes.query.prog_cnt; i++) {
        scope_close int old = open_ours(ids[i]);
        if (old < 0)
            continue;
        if (!attached && attach(directory, new, old) == 0) {
            attached = true;
            continue;
        }
        /* BPF_F_REPLACE came with Linux 5.6; before, both stand for a moment. */
        if (!attached && attach(directory, new, -1) < 0)
            return error_set(err, errno, "can't attach the device rules to cgroup %s", path);
        attached = true;
        if (detach(directory, old) < 0)
            return error_set(err, errno, "can't detach the old device rules of cgroup %s", path);
    }
    if (!attached && attach(directory, new, -1) < 0)
        return error_set(err, errno, "can't attach the device rules to cgroup %s", path);
    return 0;
}
