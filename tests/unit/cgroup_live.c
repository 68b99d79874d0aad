/* container/cgroup on this machine's own hierarchies, whichever layout they have: everything
 * happens in a uniquely named child of the test's own cgroup, which each test removes. */
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/bpf.h>

#include "cgroup_live.h"

static void limits_are_set_and_changed(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    struct config_resources resources = {0};
    create(fixture);
    resources.memory.limit = (struct config_number){true, 64 << 20};
    resources.memory.swap = (struct config_number){true, 96 << 20};
    resources.memory.reservation = (struct config_number){true, 32 << 20};
    resources.cpu.has_shares = true;
    resources.cpu.shares = 512;
    resources.cpu.quota = (struct config_number){true, 20000};
    resources.cpu.has_period = true;
    resources.cpu.period = 50000;
    resources.cpu.cpus = "0";
    resources.cpu.mems = "0";
    resources.pids_limit = (struct config_number){true, 33};
    need(cgroup_apply(&fixture->cgroup, &resources, false, &fixture->err));
    assert_string_equal(limit(fixture, "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_string_equal(limit(fixture, "memory.soft_limit_in_bytes", "memory.low"), "33554432");
    assert_string_equal(limit(fixture, "memory.memsw.limit_in_bytes", "memory.swap.max"),
                        is_v2(fixture) ? "33554432" : "100663296");
    assert_string_equal(limit(fixture, "cpu.shares", "cpu.weight"), is_v2(fixture) ? "59" : "512");
    assert_string_equal(limit(fixture, "cpu.cfs_quota_us", "cpu.max"),
                        is_v2(fixture) ? "20000 50000" : "20000");
    assert_string_equal(limit(fixture, "cpuset.cpus", "cpuset.cpus"), "0");
    assert_string_equal(limit(fixture, "pids.max", "pids.max"), "33");
    start(fixture, wait_forever);

    /* Up over both, and down below both: each needs its own order on v1. */
    static const int64_t sizes[][2] = {{512, 1024}, {16, 16}, {200, 300}, {-1, 0}};
    struct config_resources update = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t unit = sizes[i][0] < 0 ? 1 : 1 << 20;
        update.memory.limit = (struct config_number){true, sizes[i][0] * unit};
        update.memory.swap = (struct config_number){sizes[i][1] != 0, sizes[i][1] * unit};
        need(cgroup_apply(&fixture->cgroup, &update, true, &fixture->err));
    }
    assert_string_equal(limit(fixture, "memory.memsw.limit_in_bytes", "memory.swap.max"),
                        is_v2(fixture) ? "max" : "9223372036854771712");
    update = (struct config_resources){0};
    update.pids_limit = (struct config_number){true, -1};
    need(cgroup_apply(&fixture->cgroup, &update, true, &fixture->err));
    assert_string_equal(limit(fixture, "pids.max", "pids.max"), "max");
    update.pids_limit.value = 0;
    need(cgroup_apply(&fixture->cgroup, &update, true, &fixture->err));
    assert_string_equal(limit(fixture, "pids.max", "pids.max"), "1");
}

static void a_missing_controller_is_named(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    struct config_resources resources = {0};
    struct config_pair unified = {"nonsense.max", "1"};
    create(fixture);
    if (!cgroup_find_v1(&fixture->cgroup, "net_cls")) {
        resources.network.has_class_id = true;
        resources.network.class_id = 0x100001;
        assert_int_equal(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err), -1);
        assert_non_null(strstr(fixture->err.text, "'net_cls'"));
    }
    resources = (struct config_resources){.unified = {1, &unified}};
    assert_int_equal(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err), -1);
    assert_non_null(strstr(fixture->err.text, "unified"));
    if (!cgroup_find_v2(&fixture->cgroup))
        return;
    unified = (struct config_pair){"cgroup.max.depth", "7\n"};
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    char text[32];
    assert_true(cgroup_read(cgroup_find_v2(&fixture->cgroup)->path, "cgroup.max.depth", text,
                            sizeof text) > 0);
    assert_string_equal(text, "7");
    unified.key = "../cgroup.max.depth";
    assert_int_equal(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err), -1);
}

static void a_second_create_is_fine_unless_somebody_is_in(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    create(fixture);
    need(cgroup_freeze(&fixture->cgroup, &fixture->err)); /* as a killed pause might leave it */
    create(fixture);
    assert_int_equal(cgroup_is_frozen(&fixture->cgroup, &fixture->err), 0);
    start(fixture, wait_forever);
    assert_int_equal(cgroup_create(&fixture->cgroup, -1, NULL, &fixture->err), -1);
    assert_non_null(strstr(fixture->err.text, "already"));
    /* And while it is there, removal names it. */
    char pid[16];
    struct timespec now = cgroup_deadline(0);
    snprintf(pid, sizeof pid, " %d", fixture->child);
    assert_int_equal(cgroup_remove_tree(&fixture->cgroup.hierarchies[0], &now, &fixture->err), -1);
    assert_non_null(strstr(fixture->err.text, pid));
}

/* ---- devices ---- */

/* Bit 1: null opens, 2: kmsg opens for reading, 4: a node of a disk can be made. */
static int try_devices(void)
{
    int result = 0, fd = open("/dev/null", O_RDWR);
    char path[64];
    result |= fd >= 0 ? 1 : 0;
    fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    result |= fd >= 0 ? 2 : 0;
    snprintf(path, sizeof path, "/tmp/cgroup-test-node-%d", getpid());
    result |= mknod(path, S_IFBLK | 0600, makedev(7, 99)) == 0 ? 4 : 0;
    unlink(path);
    return result;
}

static void device_rules_hold_and_are_replaced(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    struct config_device_rule rules[] = {
        {false, 'a', -1, -1, true, true, true},
        {true, 'c', 1, 11, true, false, false},
    };
    struct config_resources resources = {.device_rules = rules, .device_rule_count = 2};
    create(fixture);
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 7); /* no rules yet: else the rest proves nothing */
    need(cgroup_apply(&fixture->cgroup, NULL, false, &fixture->err));
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 5);
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 7);
    rules[1].allow = false;
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 5);
    rules[0].allow = true; /* everything but kmsg */
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 5);
}

static void programs_are_replaced_in_any_v2_tree(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    const struct cgroup_hierarchy *v2 = cgroup_find_v2(&fixture->cgroup);
    if (!v2) {
        print_message("this host has no cgroup v2 tree\n");
        skip();
    }
    create(fixture);
    struct bpf_insn everything[2] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1},
                                     {.code = BPF_JMP | BPF_EXIT}};
    if (device_program_attach(v2->path, everything, 2, &fixture->err) < 0) {
        if (fixture->err.code != EINVAL && fixture->err.code != ENOSYS)
            fail_msg("%s", fixture->err.text);
        print_message("%s\n", fixture->err.text);
        skip();
    }
    for (int allow = 1; allow >= 0; allow--) {
        everything[0].imm = allow;
        for (int twice = 0; twice < 2; twice++)
            need(device_program_attach(v2->path, everything, 2, &fixture->err));
        start(fixture, try_devices);
        assert_int_equal(finish(fixture), allow ? 7 : 0);
    }
    /* The kernel's verifier takes what we make of rules that leave others no chance. */
    static const struct device_rule rules[] = {
        {false, 'c', 1, 5, DEVICE_READ},          {true, 'c', -1, -1, DEVICE_ALL},
        {true, 'b', 8, 0, DEVICE_WRITE},          {false, 'b', -1, -1, DEVICE_ALL},
        {true, 'b', -1, -1, DEVICE_MKNOD},        {true, 'c', -1, 3, DEVICE_ALL},
        {false, 'c', 4000, 70000, DEVICE_WRITE},  {false, 'c', 1, 11, DEVICE_READ},
        {true, 'c', 5000000000, 1, DEVICE_WRITE},
    };
    for (size_t last = sizeof rules / sizeof *rules; last > 0; last--) {
        size_t length;
        struct bpf_insn *program = device_program_build(rules, last, true, &length);
        int result = device_program_attach(v2->path, program, length, &fixture->err);
        free(program);
        need(result);
        start(fixture, try_devices);
        int allowed = finish(fixture);
        assert_int_equal(allowed & 2, last >= 8 ? 0 : 2);
        assert_int_equal(allowed & 4, last == 4 ? 0 : 4);
    }
    everything[0].imm = 1; /* denials would add up if the old ones had stayed */
    need(device_program_attach(v2->path, everything, 2, &fixture->err));
    start(fixture, try_devices);
    assert_int_equal(finish(fixture), 7);
}

/* ---- freezing, killing ---- */

/* (A signal that is fatal at once, without a handler, ends a process even if it is frozen on v2:
 * only what it would run itself must wait.) */
static void frozen_processes_stay_so_until_thawed(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    create(fixture);
    start(fixture, wait_forever);
    need(cgroup_freeze(&fixture->cgroup, &fixture->err));
    assert_int_equal(cgroup_is_frozen(&fixture->cgroup, &fixture->err), 1);
    need(cgroup_kill(&fixture->cgroup, SIGTERM, &fixture->err));
    assert_int_equal(cgroup_is_frozen(&fixture->cgroup, &fixture->err), 1);
    assert_int_equal(waitpid(fixture->child, NULL, WNOHANG), 0);
    need(cgroup_thaw(&fixture->cgroup, &fixture->err));
    assert_int_equal(finish(fixture), 7);
    assert_int_equal(cgroup_is_frozen(&fixture->cgroup, &fixture->err), 0);
}

static __attribute__((noreturn)) int fork_for_ever(void)
{
    setsid();
    for (;;) {
        if (fork() < 0)
            continue;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

static void wait_until_empty(struct fixture *fixture)
{
    struct timespec deadline = cgroup_deadline(10);
    size_t count = 1;
    for (int i = 0; count; i++) {
        pid_t *pids;
        need(cgroup_pids(&fixture->cgroup, &pids, &count, &fixture->err));
        free(pids);
        if (count)
            cgroup_back_off(i);
        assert_true(cgroup_deadline_left(&deadline) > 0);
    }
}

static void kill_fork_bomb(struct fixture *fixture)
{
    struct config_resources resources = {.pids_limit = {true, 15}};
    create(fixture);
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    start(fixture, fork_for_ever);
    pid_t *pids;
    size_t count = 0;
    struct timespec deadline = cgroup_deadline(10);
    while (count < 10) {
        need(cgroup_pids(&fixture->cgroup, &pids, &count, &fixture->err));
        free(pids);
        assert_true(cgroup_deadline_left(&deadline) > 0);
    }
    need(cgroup_kill(&fixture->cgroup, SIGKILL, &fixture->err));
    wait_until_empty(fixture);
    assert_int_equal(finish(fixture), 128 + SIGKILL);
}

static void a_fork_bomb_dies(void **state)
{
    need_root();
    kill_fork_bomb(*state);
}

/* The same with what a v1 host has, where there is more. */
static void a_fork_bomb_dies_on_v1_alone(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    struct cgroup *cgroup = &fixture->cgroup;
    if (cgroup->mode == CGROUP_MODE_V2) {
        print_message("this host has no cgroup v1\n");
        skip();
    }
    for (size_t i = 0; i < cgroup->count; i++)
        if (cgroup->hierarchies[i].v2)
            cgroup->hierarchies[i] = cgroup->hierarchies[--cgroup->count];
    cgroup->mode = CGROUP_MODE_V1;
    kill_fork_bomb(fixture);
    frozen_processes_stay_so_until_thawed(state);
}

/* ---- out of memory ---- */

static int use_memory(void)
{
    size_t size = 64 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < size; i += 4096)
        memory[i] = 1;
    return 0;
}

static void running_out_of_memory_is_told(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    struct config_resources resources = {0};
    create(fixture);
    resources.memory.limit = (struct config_number){true, 8 << 20};
    resources.memory.swap = (struct config_number){true, 8 << 20};
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    int watch = cgroup_oom_watch(&fixture->cgroup, &fixture->err);
    if (watch < 0)
        fail_msg("%s", fixture->err.text);
    assert_int_equal(cgroup_oom_count(&fixture->cgroup), 0);
    start(fixture, use_memory);
    assert_int_equal(finish(fixture), 128 + SIGKILL);
    struct pollfd waiting = {watch, POLLIN, 0};
    assert_int_equal(poll(&waiting, 1, 10000), 1);
    char drained[4096];
    assert_true(read(watch, drained, sizeof drained) > 0);
    assert_true(cgroup_oom_count(&fixture->cgroup) >= 1);
    close(watch);
}

/* ---- removing, counting ---- */

static void what_the_container_made_inside_goes_too(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    create(fixture);
    for (size_t i = 0; i < fixture->cgroup.count; i++) {
        int fd = open(fixture->cgroup.hierarchies[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int depth = 0; depth < 40; depth++) {
            assert_int_equal(mkdirat(fd, "side", 0755), 0);
            assert_int_equal(mkdirat(fd, "down", 0755), 0);
            int next = openat(fd, "down", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            close(fd);
            assert_true((fd = next) >= 0);
        }
        close(fd);
    }
    need(cgroup_remove(&fixture->cgroup, &fixture->err));
    for (size_t i = 0; i < fixture->cgroup.count; i++)
        assert_int_equal(access(fixture->cgroup.hierarchies[i].path, F_OK), -1);
    need(cgroup_remove(&fixture->cgroup, &fixture->err)); /* nothing left: fine */
}

static void removal_waits_for_the_dying(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    for (int round = 0; round < 10; round++) {
        create(fixture);
        start(fixture, wait_forever);
        need(cgroup_kill(&fixture->cgroup, SIGKILL, &fixture->err));
        need(cgroup_remove(&fixture->cgroup, &fixture->err));
        assert_int_equal(finish(fixture), 128 + SIGKILL);
    }
}

static void links_are_not_followed(void **state)
{
    (void)state;
    char inside[] = "/tmp/cgroup-test-in-XXXXXX", outside[] = "/tmp/cgroup-test-out-XXXXXX";
    char path[64], precious[64];
    assert_non_null(mkdtemp(inside));
    assert_non_null(mkdtemp(outside));
    snprintf(precious, sizeof precious, "%s/precious", outside);
    assert_int_equal(mkdir(precious, 0755), 0);
    snprintf(path, sizeof path, "%s/link", inside);
    assert_int_equal(symlink(outside, path), 0);
    struct cgroup_hierarchy hierarchy = {.mount_point = "/tmp"};
    snprintf(hierarchy.path, sizeof hierarchy.path, "%s", inside);
    struct timespec now = cgroup_deadline(0);
    assert_int_equal(cgroup_remove_tree(&hierarchy, &now, NULL), -1); /* the link is in the way */
    assert_int_equal(rmdir(precious) | rmdir(outside) | unlink(path) | rmdir(inside), 0);
}

static void statistics_have_runcs_shape(void **state)
{
    need_root();
    struct fixture *fixture = *state;
    create(fixture);
    struct config_resources resources = {.pids_limit = {true, 9}};
    resources.memory.limit = (struct config_number){true, 32 << 20};
    need(cgroup_apply(&fixture->cgroup, &resources, true, &fixture->err));
    start(fixture, wait_forever);
    json_t *stats = cgroup_stats(&fixture->cgroup, &fixture->err);
    assert_non_null(stats);
    json_t *cpu, *memory, *pids;
    json_int_t kernel, memory_limit, current, pid_limit;
    assert_int_equal(json_unpack(stats, "{s:o, s:o, s:o, s:{}, s:{}, s:{}}", "cpu", &cpu, "memory",
                                 &memory, "pids", &pids, "cpuset", "blkio", "hugetlb"),
                     0);
    assert_int_equal(json_unpack(cpu, "{s:{s:I}, s:{}}", "usage", "kernel", &kernel, "throttling"),
                     0);
    assert_int_equal(json_unpack(memory, "{s:{s:I}, s:{}, s:{}}", "usage", "limit", &memory_limit,
                                 "raw", "swap"),
                     0);
    assert_int_equal(memory_limit, 32 << 20);
    assert_int_equal(json_unpack(pids, "{s:I, s:I}", "current", &current, "limit", &pid_limit), 0);
    assert_int_equal(current, 1);
    assert_int_equal(pid_limit, 9);
    json_decref(stats);
}

int main(void)
{
#define LIVE(TEST) cmocka_unit_test_setup_teardown(TEST, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LIVE(limits_are_set_and_changed),
        LIVE(a_missing_controller_is_named),
        LIVE(a_second_create_is_fine_unless_somebody_is_in),
        LIVE(device_rules_hold_and_are_replaced),
        LIVE(programs_are_replaced_in_any_v2_tree),
        LIVE(frozen_processes_stay_so_until_thawed),
        LIVE(a_fork_bomb_dies),
        LIVE(a_fork_bomb_dies_on_v1_alone),
        LIVE(running_out_of_memory_is_told),
        LIVE(what_the_container_made_inside_goes_too),
        LIVE(removal_waits_for_the_dying),
        LIVE(links_are_not_followed),
        LIVE(statistics_have_runcs_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
