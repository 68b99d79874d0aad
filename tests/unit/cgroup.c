/* container/cgroup: what can be decided without touching a real hierarchy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/magic.h>

#include "base/memory.h"
#include "container/cgroup_internal.h"

/* ---- a made-up host in a temporary directory ---- */

struct fake_host {
    char root[64], membership[80], mountinfo[80];
    struct cgroup_host host;
};

/* What a file system is, is told by marker files in the made-up tree. */
static long fake_filesystem_type(const char *path)
{
    if (cgroup_has_file(path, ".v1"))
        return CGROUP_SUPER_MAGIC;
    if (cgroup_has_file(path, ".v2"))
        return CGROUP2_SUPER_MAGIC;
    return access(path, F_OK) == 0 ? TMPFS_MAGIC : -1;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_host(struct fake_host *fake, const char *membership, const char *mountinfo)
{
    strcpy(fake->root, "/tmp/cgroup-test-XXXXXX");
    assert_non_null(mkdtemp(fake->root));
    snprintf(fake->membership, sizeof fake->membership, "%s/membership", fake->root);
    snprintf(fake->mountinfo, sizeof fake->mountinfo, "%s/mountinfo", fake->root);
    write_file(fake->membership, membership);
    if (mountinfo)
        write_file(fake->mountinfo, mountinfo);
    fake->host =
        (struct cgroup_host){fake->root, fake->membership, fake->mountinfo, fake_filesystem_type};
}

/* Makes directory name below the root, with a marker file if kind isn't NULL. */
static void add_directory(const struct fake_host *fake, const char *name, const char *kind)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fake->root, name);
    assert_true(mkdir(path, 0755) == 0 || access(path, F_OK) == 0);
    snprintf(path, sizeof path, "%s/%s/%s", fake->root, name, kind ? kind : "");
    if (kind)
        write_file(path, "");
}

static void remove_host(const struct fake_host *fake)
{
    char *command = memory_format("rm -rf '%s'", fake->root);
    assert_int_equal(system(command), 0);
    free(command);
}

static const char *path_in(const struct fake_host *fake, const struct cgroup_hierarchy *hierarchy)
{
    assert_non_null(hierarchy);
    assert_int_equal(strncmp(hierarchy->path, fake->root, strlen(fake->root)), 0);
    return hierarchy->path + strlen(fake->root);
}

static void hybrid_and_v1_hosts_are_found_without_mountinfo(void **state)
{
    (void)state;
    struct fake_host fake;
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct error err;
    make_host(&fake,
              "4:cpuacct,cpu:/own\n3:memory:/slice/a:b\n2:name=systemd:/\n"
              "1:hugetlb:/nowhere\n0::/init.scope\n",
              "1 0 0:1 / / rw - ext4 /dev/vda rw\n");
    add_directory(&fake, "cpuacct", ".v1"); /* the kernel's order isn't the directory's */
    add_directory(&fake, "cpuacct/own", NULL);
    add_directory(&fake, "memory", ".v1");
    add_directory(&fake, "memory/slice", NULL);
    add_directory(&fake, "memory/slice/a:b", NULL);
    add_directory(&fake, "systemd", ".v1");
    add_directory(&fake, "unified", ".v2");
    add_directory(&fake, "unified/init.scope", NULL);
    assert_int_equal(
        cgroup_resolve_at(cgroup, &fake.host, CGROUP_MANAGER_FILES, NULL, "c1", false, &err), 0);
    assert_int_equal(cgroup->mode, CGROUP_MODE_HYBRID);
    assert_int_equal(cgroup->count, 4); /* hugetlb isn't mounted */
    assert_string_equal(path_in(&fake, cgroup_find_v1(cgroup, "cpu")), "/cpuacct/own/c1");
    assert_string_equal(path_in(&fake, cgroup_find_v1(cgroup, "memory")), "/memory/slice/a:b/c1");
    assert_string_equal(path_in(&fake, cgroup_find_v1(cgroup, "name=systemd")), "/systemd/c1");
    assert_string_equal(path_in(&fake, cgroup_find_v2(cgroup)), "/unified/init.scope/c1");
    assert_null(cgroup_find_v1(cgroup, "pids"));
    assert_int_equal(cgroup_resolve_at(cgroup, &fake.host, CGROUP_MANAGER_FILES, "/pod//x/./y",
                                       "c1", false, &err),
                     0);
    assert_string_equal(path_in(&fake, cgroup_find_v2(cgroup)), "/unified/pod/x/y");
    remove_host(&fake);
    free(cgroup);
}

static void on_v2_the_container_is_beside_its_caller(void **state)
{
    (void)state;
    struct fake_host fake;
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct error err;
    make_host(&fake, "7:name=odd:/x\n0::/user.slice/session.scope\n", NULL);
    add_directory(&fake, ".", ".v2");
    add_directory(&fake, "user.slice", NULL);
    add_directory(&fake, "user.slice/session.scope", NULL);
    assert_int_equal(
        cgroup_resolve_at(cgroup, &fake.host, CGROUP_MANAGER_FILES, NULL, "c1", false, &err), 0);
    assert_int_equal(cgroup->mode, CGROUP_MODE_V2);
    assert_int_equal(cgroup->count, 1);
    assert_string_equal(path_in(&fake, cgroup_find_v2(cgroup)), "/user.slice/c1");
    remove_host(&fake);
    free(cgroup);
}

static void own_path_is_taken_relative_to_the_mounts_root(void **state)
{
    (void)state;
    struct fake_host fake;
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct error err;
    /* As in a container with its host's cgroup namespace: the mount shows only its own part. */
    make_host(&fake, "2:memory:/docker/abc/inner\n1:pids:/../..\n", NULL);
    char *mountinfo = memory_format(
        "30 20 0:5 /docker/abc %s/memory rw,nosuid shared:1 - cgroup cgroup rw,memory\n"
        "31 20 0:6 / %s/pids rw - cgroup cgroup rw,pids\n",
        fake.root, fake.root);
    write_file(fake.mountinfo, mountinfo);
    free(mountinfo);
    add_directory(&fake, "memory", ".v1");
    add_directory(&fake, "memory/inner", NULL);
    add_directory(&fake, "pids", ".v1");
    assert_int_equal(
        cgroup_resolve_at(cgroup, &fake.host, CGROUP_MANAGER_FILES, NULL, "c1", false, &err), 0);
    assert_int_equal(cgroup->mode, CGROUP_MODE_V1);
    assert_string_equal(path_in(&fake, cgroup_find_v1(cgroup, "memory")), "/memory/inner/c1");
    assert_string_equal(path_in(&fake, cgroup_find_v1(cgroup, "pids")), "/pids/c1");
    remove_host(&fake);
    free(cgroup);
}

static void paths_never_leave_the_hierarchy(void **state)
{
    (void)state;
    static const struct {
        const char *path, *expected; /* NULL: refused */
    } cases[] = {
        {"/../../etc", "/v2/etc"},
        {"../../../x", "/v2/x"},
        {"a/../../../b", "/v2/b"},
        {"/", NULL},
        {"..", NULL},
        {"/a/..", NULL},
        {".", NULL},
        {"//", NULL},
        {"/a/./b//c/", "/v2/a/b/c"},
        {"/a/b/../c", "/v2/a/c"},
        {"...", "/v2/..."},
        {"..a", "/v2/..a"},
    };
    struct cgroup_hierarchy hierarchy = {.v2 = true, .mount_point = "/v2"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        int result = cgroup_place(&hierarchy, "", cases[i].path, &err);
        assert_int_equal(result, cases[i].expected ? 0 : -1);
        if (cases[i].expected)
            assert_string_equal(hierarchy.path, cases[i].expected);
    }
    /* Below the caller's own cgroup it stays below that. */
    assert_int_equal(cgroup_place(&hierarchy, "/own", "../../x", NULL), 0);
    assert_string_equal(hierarchy.path, "/v2/own/x");
    char longer[2000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(cgroup_place(&hierarchy, "", longer, NULL), -1);
}

static void rootless_leaves_out_what_it_may_not_write(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root to become somebody else\n");
        skip();
    }
    struct fake_host fake;
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct error err;
    make_host(&fake, "2:memory:/\n1:pids:/\n", NULL);
    add_directory(&fake, "memory", ".v1");
    add_directory(&fake, "pids", ".v1");
    char path[128];
    snprintf(path, sizeof path, "%s/pids", fake.root);
    assert_int_equal(chown(path, 65534, 65534) | chmod(fake.root, 0755), 0);
    assert_int_equal(seteuid(65534), 0);
    int result = cgroup_resolve_at(cgroup, &fake.host, CGROUP_MANAGER_FILES, NULL, "c", true, &err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(result, 0);
    assert_int_equal(cgroup->count, 1);
    assert_non_null(cgroup_find_v1(cgroup, "pids"));
    struct config_resources resources = {0};
    resources.memory.limit = (struct config_number){true, 1 << 20};
    assert_int_equal(cgroup_apply(cgroup, &resources, true, &err), 0);
    cgroup->rootless = false;
    assert_int_equal(cgroup_apply(cgroup, &resources, true, &err), -1);
    assert_non_null(strstr(err.text, "'memory'"));
    remove_host(&fake);
    free(cgroup);
}

/* ---- conversions ---- */

static void shares_and_weights_meet_at_the_agreed_points(void **state)
{
    (void)state;
    static const uint64_t points[][2] = {
        {0, 0},      {1, 1},      {2, 1},      {10, 4},         {100, 17},       {512, 59},
        {1024, 100}, {2048, 174}, {4096, 303}, {262143, 10000}, {262144, 10000}, {1 << 20, 10000}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_int_equal(cgroup_weight_from_shares(points[i][0]), points[i][1]);
    for (uint64_t shares = 3; shares < 262144; shares += 997)
        assert_true(cgroup_weight_from_shares(shares) >= cgroup_weight_from_shares(shares - 1));
    assert_int_equal(cgroup_io_weight_from_block_weight(10), 1);
    assert_int_equal(cgroup_io_weight_from_block_weight(1000), 10000);
    assert_int_equal(cgroup_io_weight_from_block_weight(0), 0);
}

static void swap_is_told_without_memory(void **state)
{
    (void)state;
    static const struct {
        int64_t memory, both, swap; /* 0: not given; swap -2: refused, 0 with write: none */
        bool write;
    } cases[] = {
        {100, 300, 200, true}, {100, 100, 0, true}, {-1, 0, -1, true},  {100, -1, -1, true},
        {100, 0, 0, false},    {-1, 70, 70, true},  {0, 100, -2, true}, {200, 100, -2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config_resources resources = {0};
        resources.memory.limit = (struct config_number){cases[i].memory != 0, cases[i].memory};
        resources.memory.swap = (struct config_number){cases[i].both != 0, cases[i].both};
        int64_t swap = 0;
        bool write;
        int result = cgroup_swap_without_memory(&resources, &swap, &write, NULL);
        assert_int_equal(result, cases[i].swap == -2 ? -1 : 0);
        if (result == 0) {
            assert_int_equal(write, cases[i].write);
            if (write)
                assert_int_equal(swap, cases[i].swap);
        }
    }
}

static void slices_expand_to_their_parents(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"system.slice", "system.slice"},
        {"a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice"},
        {"-.slice", ""},
        {"kubepods-besteffort-pod1_2.slice",
         "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice"},
        {".slice", NULL},
        {"a--b.slice", NULL},
        {"-a.slice", NULL},
        {"a-.slice", NULL},
        {"a/b.slice", NULL},
        {"a.scope", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        int result = cgroup_systemd_expand_slice(cases[i][0], path, sizeof path, NULL);
        assert_int_equal(result, cases[i][1] ? 0 : -1);
        if (cases[i][1])
            assert_string_equal(path, cases[i][1]);
    }
}

/* ---- records ---- */

static void records_come_back_and_forged_ones_do_not(void **state)
{
    (void)state;
    struct cgroup *cgroup = memory_allocate(1, sizeof *cgroup);
    struct cgroup *again = memory_allocate(1, sizeof *again);
    struct error err;
    cgroup->mode = CGROUP_MODE_HYBRID;
    cgroup->manager = CGROUP_MANAGER_SYSTEMD;
    cgroup->count = 2;
    strcpy(cgroup->systemd_unit, "hull-a.scope");
    strcpy(cgroup->systemd_slice, "x.slice");
    cgroup->hierarchies[0] =
        (struct cgroup_hierarchy){false, "cpu,cpuacct", "/c/cpu", "/", "/c/cpu/a"};
    cgroup->hierarchies[1] = (struct cgroup_hierarchy){true, "", "/c/u", "/o", "/c/u/o/a"};
    json_t *object = cgroup_to_json(cgroup);
    assert_int_equal(cgroup_from_json(again, object, &err), 0);
    assert_int_equal(again->mode, CGROUP_MODE_HYBRID);
    assert_int_equal(again->manager, CGROUP_MANAGER_SYSTEMD);
    assert_string_equal(again->systemd_unit, "hull-a.scope");
    assert_string_equal(cgroup_find_v2(again)->path, "/c/u/o/a");
    assert_string_equal(cgroup_find_v1(again, "cpuacct")->path, "/c/cpu/a");
    static const char *const forged[] = {"/c/cpu",      "/c/cpu/",     "/c/cpux",
                                         "/c/cpu/../x", "/c/cpu/a/..", "/etc"};
    json_t *first = json_array_get(json_object_get(object, "hierarchies"), 0);
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        json_object_set_new(first, "path", json_string(forged[i]));
        assert_int_equal(cgroup_from_json(again, object, &err), -1);
    }
    json_decref(object);
    free(cgroup);
    free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hybrid_and_v1_hosts_are_found_without_mountinfo),
        cmocka_unit_test(on_v2_the_container_is_beside_its_caller),
        cmocka_unit_test(own_path_is_taken_relative_to_the_mounts_root),
        cmocka_unit_test(paths_never_leave_the_hierarchy),
        cmocka_unit_test(rootless_leaves_out_what_it_may_not_write),
        cmocka_unit_test(shares_and_weights_meet_at_the_agreed_points),
        cmocka_unit_test(swap_is_told_without_memory),
        cmocka_unit_test(slices_expand_to_their_parents),
        cmocka_unit_test(records_come_back_and_forged_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
