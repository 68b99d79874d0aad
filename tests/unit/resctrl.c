/* container/resctrl against a directory that imitates the file system. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "container/resctrl.h"
#include "container/resctrl_schemata.h"

struct fixture {
    char mount_point[32];
    int fd;
};

/* What the kernel makes in every class; here the test does. */
static void make_file(const struct fixture *fixture, const char *path, const char *text)
{
    scope_close int fd = openat(fixture->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static void assert_content(const struct fixture *fixture, const char *path, const char *text)
{
    scope_free char *content = file_read_all(fixture->fd, path, 4096, NULL, NULL);
    assert_non_null(content);
    assert_string_equal(content, text);
}

static void remove_tree(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *directory = fdopendir(fd);
    struct dirent *item;
    while (directory && (item = readdir(directory))) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        if (item->d_type == DT_DIR)
            remove_tree(fd, item->d_name);
        else
            unlinkat(fd, item->d_name, 0);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_allocate(1, sizeof *fixture);
    strcpy(fixture->mount_point, "/tmp/hull-test-XXXXXX");
    if (!mkdtemp(fixture->mount_point))
        return -1;
    fixture->fd = open(fixture->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static const char *const directories[] = {"info", "info/L3_MON", "mon_groups", "gold",
                                              "gold/mon_groups"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        mkdirat(fixture->fd, directories[i], 0755);
    make_file(fixture, "info/last_cmd_status", "ok\n");
    make_file(fixture, "info/L3_MON/mon_features", "llc_occupancy\n");
    make_file(fixture, "tasks", "");
    make_file(fixture, "schemata", "    L3:0=7ff;1=7ff\n");
    make_file(fixture, "gold/tasks", "");
    make_file(fixture, "gold/schemata", "    MB:0= 20;1= 70\n    L3:0=07f0;1=001f\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close(fixture->fd);
    remove_tree(AT_FDCWD, fixture->mount_point);
    int result = access(fixture->mount_point, F_OK) == 0 ? -1 : 0;
    free(fixture);
    return result;
}

static struct resctrl_group plan(const struct fixture *fixture, const struct config_intel_rdt *rdt)
{
    struct resctrl_group group;
    struct error err = {0};
    if (resctrl_plan(fixture->mount_point, rdt, "box", &group, &err) < 0)
        fail_msg("%s", err.text);
    return group;
}

static void assert_refused(const struct fixture *fixture, const struct config_intel_rdt *rdt,
                           const char *reason)
{
    struct resctrl_group group;
    struct error err = {0};
    assert_int_equal(resctrl_plan(fixture->mount_point, rdt, "box", &group, &err), -1);
    if (!strstr(err.text, reason))
        fail_msg("'%s' doesn't say '%s'", err.text, reason);
}

static void a_class_of_its_own_comes_and_goes(void **state)
{
    struct fixture *fixture = *state;
    const char *more[] = {"L2:0=f", "L2:1=3"};
    struct config_intel_rdt rdt = {
        .l3_cache_schema = "L3:0=7f0;1=1f", .mem_bw_schema = "MB:0=20;1=70", .schemata = {2, more}};
    struct resctrl_group group = plan(fixture, &rdt);
    assert_string_equal(group.class, "box");
    assert_true(group.create && group.remove && !group.monitor[0]);
    assert_int_equal(faccessat(fixture->fd, "box", F_OK, 0), -1); /* nothing was made yet */
    assert_int_equal(resctrl_create(fixture->mount_point, &group, NULL), 0);
    make_file(fixture, "box/tasks", "");
    make_file(fixture, "box/schemata", "");
    assert_int_equal(resctrl_configure(fixture->mount_point, &group, &rdt, NULL), 0);
    assert_content(fixture, "box/schemata", "L3:0=7f0;1=1f\nMB:0=20;1=70\nL2:0=f\nL2:1=3\n");
    assert_int_equal(resctrl_add_process(fixture->mount_point, &group, 1234, NULL), 0);
    assert_content(fixture, "box/tasks", "1234\n");
    /* The kernel removes a class with its files; an ordinary directory must be empty. */
    unlinkat(fixture->fd, "box/tasks", 0);
    unlinkat(fixture->fd, "box/schemata", 0);
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(faccessat(fixture->fd, "box", F_OK, 0), -1);
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0); /* again */
}

static void an_existing_class_is_joined_and_kept(void **state)
{
    struct fixture *fixture = *state;
    struct config_intel_rdt rdt = {.closid = "gold"};
    struct resctrl_group group = plan(fixture, &rdt);
    assert_false(group.create || group.remove);
    assert_int_equal(resctrl_create(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(resctrl_configure(fixture->mount_point, &group, &rdt, NULL), 0);
    assert_content(fixture, "gold/schemata", "    MB:0= 20;1= 70\n    L3:0=07f0;1=001f\n");
    assert_int_equal(resctrl_add_process(fixture->mount_point, &group, 1234, NULL), 0);
    assert_content(fixture, "gold/tasks", "1234\n");
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(faccessat(fixture->fd, "gold", F_OK, 0), 0);
}

static void a_new_class_with_closid_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct config_intel_rdt rdt = {.closid = "silver", .l3_cache_schema = "L3:0=f"};
    struct resctrl_group group = plan(fixture, &rdt);
    assert_true(group.create && !group.remove);
    assert_int_equal(resctrl_create(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(resctrl_create(fixture->mount_point, &group, NULL), 0); /* another won */
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(faccessat(fixture->fd, "silver", F_OK, 0), 0);
}

static void the_root_is_the_default_class(void **state)
{
    struct fixture *fixture = *state;
    struct config_intel_rdt rdt = {.closid = "/"};
    struct resctrl_group group = plan(fixture, &rdt);
    assert_string_equal(group.class, "");
    assert_false(group.create || group.remove);
    assert_int_equal(resctrl_add_process(fixture->mount_point, &group, 1234, NULL), 0);
    assert_content(fixture, "tasks", "1234\n");
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0);
}

static void schemata_of_an_existing_class_must_agree(void **state)
{
    struct fixture *fixture = *state;
    struct config_intel_rdt rdt = {.closid = "gold", .l3_cache_schema = "L3:0=7F0;1=1f"};
    plan(fixture, &rdt);
    rdt.l3_cache_schema = "L3:1=1f";
    rdt.mem_bw_schema = "MB:1=70";
    plan(fixture, &rdt);
    rdt.mem_bw_schema = "MB:1=71";
    assert_refused(fixture, &rdt, "'gold' exists: its schemata differ from 'MB:1=71'");
    rdt.mem_bw_schema = "MB:2=70";
    assert_refused(fixture, &rdt, "differ");
    rdt.mem_bw_schema = NULL;
    rdt.l3_cache_schema = "L3:0=7f0;1=1e";
    assert_refused(fixture, &rdt, "differ");
    rdt.l3_cache_schema = "L3CODE:0=7f0";
    assert_refused(fixture, &rdt, "differ");
    static const char *const broken[] = {"L3", "L3:0", "L3:0=", "L3:=1", "L3:0=7f0,1=1f"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        rdt.l3_cache_schema = broken[i];
        assert_refused(fixture, &rdt, "schema '");
    }
}

static void an_absent_class_without_schemata_is_an_error(void **state)
{
    assert_refused(*state, &(struct config_intel_rdt){.closid = "none"},
                   "there is no class of service 'none'");
}

static void names_stay_in_the_mount(void **state)
{
    static const char *const names[] = {"..", ".", "", "a/b", "../x", "info", "mon_groups"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_refused(*state,
                       &(struct config_intel_rdt){.closid = names[i], .l3_cache_schema = "L3:0=f"},
                       "linux.intelRdt.closID: '");
    struct fixture *fixture = *state;
    assert_int_equal(symlinkat("/tmp", fixture->fd, "link"), 0);
    assert_refused(fixture, &(struct config_intel_rdt){.closid = "link"}, "can't open");
}

static void schemas_with_line_breaks_are_refused(void **state)
{
    const char *lines[] = {"L2:0=f\nL3:0=1"};
    assert_refused(*state, &(struct config_intel_rdt){.schemata = {1, lines}}, "line break");
    assert_refused(*state, &(struct config_intel_rdt){.l3_cache_schema = lines[0]}, "line break");
    assert_refused(*state, &(struct config_intel_rdt){.mem_bw_schema = "L3:0=1"}, "'MB:'");
}

static void monitoring_has_a_group_that_goes(void **state)
{
    struct fixture *fixture = *state;
    struct config_intel_rdt rdt = {.closid = "gold", .enable_cmt = true};
    struct resctrl_group group = plan(fixture, &rdt);
    assert_string_equal(group.monitor, "box");
    assert_int_equal(resctrl_configure(fixture->mount_point, &group, &rdt, NULL), 0);
    make_file(fixture, "gold/mon_groups/box/tasks", "");
    assert_int_equal(resctrl_add_process(fixture->mount_point, &group, 1234, NULL), 0);
    assert_content(fixture, "gold/tasks", "1234\n");
    assert_content(fixture, "gold/mon_groups/box/tasks", "1234\n");
    unlinkat(fixture->fd, "gold/mon_groups/box/tasks", 0);
    assert_int_equal(resctrl_remove(fixture->mount_point, &group, NULL), 0);
    assert_int_equal(faccessat(fixture->fd, "gold/mon_groups/box", F_OK, 0), -1);
    rdt.enable_mbm = true;
    assert_refused(fixture, &rdt, "enableMBM: this host can't monitor");
}

static void the_kernels_reason_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct config_intel_rdt rdt = {.closid = "gold"};
    struct resctrl_group group = plan(fixture, &rdt);
    unlinkat(fixture->fd, "gold/tasks", 0);
    make_file(fixture, "info/last_cmd_status", "No task 1234\n");
    assert_int_equal(resctrl_add_process(fixture->mount_point, &group, 1234, &err), -1);
    assert_non_null(strstr(err.text, "resctrl says 'No task 1234': class of service 'gold'"));
}

static void a_host_without_resctrl_is_told_so(void **state)
{
    (void)state;
    struct error err = {0};
    scope_free char *mount_point = resctrl_find_mount(&err);
    if (mount_point) {
        print_message("this host has resctrl\n");
        skip();
    }
    assert_non_null(strstr(err.text, "no resctrl file system is mounted"));
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_class_of_its_own_comes_and_goes),
        WITH_FIXTURE(an_existing_class_is_joined_and_kept),
        WITH_FIXTURE(a_new_class_with_closid_is_kept),
        WITH_FIXTURE(the_root_is_the_default_class),
        WITH_FIXTURE(schemata_of_an_existing_class_must_agree),
        WITH_FIXTURE(an_absent_class_without_schemata_is_an_error),
        WITH_FIXTURE(names_stay_in_the_mount),
        WITH_FIXTURE(schemas_with_line_breaks_are_refused),
        WITH_FIXTURE(monitoring_has_a_group_that_goes),
        WITH_FIXTURE(the_kernels_reason_is_told),
        cmocka_unit_test(a_host_without_resctrl_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
