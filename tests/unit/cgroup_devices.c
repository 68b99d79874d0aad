/* container/cgroup's device rules: what the rules mean, and that both the program for v2 and the
 * list of exceptions for v1 say just that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/bpf.h>

#include "base/memory.h"
#include "container/cgroup_internal.h"

/* Just enough of an interpreter for our programs: fails the test on anything else. */
static int run_program(const struct bpf_insn *program, size_t count, const uint32_t context[3])
{
    uint64_t registers[11] = {0};
    size_t steps = 0;
    for (size_t at = 0; at < count; at++) {
        const struct bpf_insn *one = &program[at];
        uint64_t *target = &registers[one->dst_reg], immediate = (uint64_t)(int64_t)one->imm;
        assert_true(++steps <= count); /* only forward */
        switch (one->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            *target = context[one->off / 4];
            break;
        case BPF_ALU64 | BPF_MOV | BPF_X:
            *target = registers[one->src_reg];
            break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
            *target = immediate;
            break;
        case BPF_ALU64 | BPF_RSH | BPF_K:
            *target >>= immediate;
            break;
        case BPF_ALU64 | BPF_LSH | BPF_K:
            *target <<= immediate;
            break;
        case BPF_ALU64 | BPF_OR | BPF_X:
            *target |= registers[one->src_reg];
            break;
        case BPF_ALU64 | BPF_AND | BPF_K:
            *target &= immediate;
            break;
        case BPF_JMP | BPF_JNE | BPF_K:
            at += *target != immediate ? (size_t)one->off : 0;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            at += *target & immediate ? (size_t)one->off : 0;
            break;
        case BPF_JMP | BPF_JA:
            at += (size_t)one->off;
            break;
        case BPF_JMP | BPF_EXIT:
            return (int)registers[0];
        default:
            fail_msg("instruction %zu has unknown code %#x", at, one->code);
        }
    }
    fail_msg("the program runs off its end");
    return -1;
}

static bool rule_matches(const struct device_rule *rule, char type, int64_t major, int64_t minor)
{
    return rule->type == type && (rule->major < 0 || rule->major == major) &&
           (rule->minor < 0 || rule->minor == minor);
}

/* The meaning, spelled out: for each kind of access the last matching rule that names it. */
static bool meaning(const struct device_rule *rules, size_t count, bool allow, char type,
                    int64_t major, int64_t minor, unsigned int access)
{
    for (unsigned int bit = 1; bit <= 4; bit *= 2) {
        bool allowed = allow;
        for (size_t i = 0; i < count; i++)
            if ((rules[i].access & bit) && rule_matches(&rules[i], type, major, minor))
                allowed = rules[i].allow;
        if ((access & bit) && !allowed)
            return false;
    }
    return true;
}

/* What the kernel's v1 controller does with a policy (security/device_cgroup.c). */
static bool v1_allows(const struct device_policy *policy, char type, int64_t major, int64_t minor,
                      unsigned int access)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct device_rule *rule = &policy->exceptions[i];
        if (!rule_matches(rule, type, major, minor))
            continue;
        if (policy->allow ? (access & rule->access) != 0 : (access & ~rule->access) == 0)
            return !policy->allow;
    }
    return policy->allow;
}

static void random_rules(struct config_device_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int access = 1 + rand() % 7;
        rules[i] = (struct config_device_rule){
            .allow = rand() % 2,
            .type = "acbccb"[rand() % 6],
            .major = rand() % 4 - 1,
            .minor = rand() % 4 - 1,
            .read = access & 1,
            .write = access & 2,
            .mknod = access & 4,
        };
        if (rand() % 8 == 0)
            rules[i] = (struct config_device_rule){rand() % 2, 'a', -1, -1, true, true, true};
    }
}

static void programs_and_policies_mean_what_the_rules_say(void **state)
{
    (void)state;
    unsigned int seed = 20240611;
    srand(seed);
    print_message("seed %u\n", seed);
    size_t expressible = 0;
    for (int round = 0; round < 3000; round++) {
        struct config_device_rule given[6];
        struct config_resources resources = {.device_rules = given};
        resources.device_rule_count = (size_t)rand() % 7;
        random_rules(given, resources.device_rule_count);
        size_t rule_count, count;
        bool allow;
        struct device_rule *rules = device_rules_flatten(&resources, &rule_count, &allow, NULL);
        struct bpf_insn *program = device_program_build(rules, rule_count, allow, &count);
        struct device_policy policy;
        bool v1 = device_policy_build(&policy, &resources, NULL) == 0;
        expressible += v1;
        for (int device = 0; device < 32; device++) {
            char type = device & 16 ? 'b' : 'c';
            int64_t major = device / 4 % 4, minor = device % 4;
            for (unsigned int access = 1; access < 8; access++) {
                uint32_t context[3] = {access << 16 |
                                           (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
                                       (uint32_t)major, (uint32_t)minor};
                bool right = meaning(rules, rule_count, allow, type, major, minor, access);
                assert_int_equal(run_program(program, count, context), right);
                if (!v1)
                    continue;
                bool got = v1_allows(&policy, type, major, minor, access);
                /* v1 may refuse what two crossing wildcards give only together, never more. */
                assert_false(got && !right);
                if (access == 1 || access == 2 || access == 4)
                    assert_int_equal(got, right);
            }
        }
        if (v1)
            free(policy.exceptions);
        free(program);
        free(rules);
    }
    assert_true(expressible > 300);
}

static void programs_know_all_numbers_and_many_rules(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static const uint32_t numbers[][2] = {{2047, 0xfffff}, {2048, 0}, {4095, 0xfffff}, {0, 0}};
    struct device_rule *rules = memory_allocate(MANY, sizeof *rules);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < MANY; j++) /* the first of them decides, beyond all others */
            rules[j] = (struct device_rule){true, 'c', 7, (int64_t)j + 8, DEVICE_READ};
        rules[0] = (struct device_rule){true, 'c', numbers[i][0], numbers[i][1], DEVICE_READ};
        size_t count;
        struct bpf_insn *program = device_program_build(rules, MANY, false, &count);
        for (size_t j = 0; j < 4; j++) {
            uint32_t context[3] = {DEVICE_READ << 16 | BPF_DEVCG_DEV_CHAR, numbers[j][0],
                                   numbers[j][1]};
            assert_int_equal(run_program(program, count, context), i == j);
            context[0] = DEVICE_READ << 16 | BPF_DEVCG_DEV_BLOCK;
            assert_int_equal(run_program(program, count, context), 0);
        }
        free(program);
    }
    free(rules);
}

static void default_devices_come_with_no_rules_at_all(void **state)
{
    (void)state;
    struct device_policy policy;
    assert_int_equal(device_policy_build(&policy, NULL, NULL), 0);
    assert_false(policy.allow);
    assert_int_equal(policy.count, 11);
    assert_true(v1_allows(&policy, 'c', 1, 3, DEVICE_ALL));
    assert_true(v1_allows(&policy, 'c', 136, 7, DEVICE_READ | DEVICE_WRITE));
    assert_false(v1_allows(&policy, 'c', 1, 1, DEVICE_READ));
    assert_true(v1_allows(&policy, 'b', 8, 0, DEVICE_MKNOD));
    assert_false(v1_allows(&policy, 'b', 8, 0, DEVICE_READ));
    free(policy.exceptions);
}

static void a_hole_in_a_wildcard_is_refused_on_v1(void **state)
{
    (void)state;
    struct config_device_rule rules[] = {
        {true, 'c', 10, -1, true, true, false},
        {false, 'c', 10, 229, true, false, false},
    };
    struct config_resources resources = {.device_rules = rules, .device_rule_count = 2};
    struct device_policy policy;
    struct error err;
    assert_int_equal(device_policy_build(&policy, &resources, &err), -1);
    assert_non_null(strstr(err.text, "can't deny 'c 10:229 r' after it allowed 'c 10:* rw'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_and_policies_mean_what_the_rules_say),
        cmocka_unit_test(programs_know_all_numbers_and_many_rules),
        cmocka_unit_test(default_devices_come_with_no_rules_at_all),
        cmocka_unit_test(a_hole_in_a_wildcard_is_refused_on_v1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
