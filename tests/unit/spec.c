/* engine/spec: users of images that try to lead astray, the default filter, and that whatever is
 * made is a configuration that the runtime reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/settings.h"
#include "engine/spec.h"
#include "oci/config.h"

static char base[64];

static int make_base(void **state)
{
    (void)state;
    strcpy(base, "/tmp/hull-spec-XXXXXX");
    return mkdtemp(base) ? chdir(base) : -1;
}

static int remove_base(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Two layers: the upper has the group, the lower the users. */
static void users_are_found_across_layers(void **state)
{
    (void)state;
    const char *const layers[] = {"upper", "lower"};
    assert_int_equal(system("mkdir -p upper/etc lower/etc"), 0);
    write_file("lower/etc/passwd",
               "root:x:0:0::/root:/bin/sh\nbad:x:y:0::/:\n\n::\nweb:x:33:34::/srv:/x\n");
    write_file("upper/etc/group", "web:x:34:\nlog:x:40:a,web\nssl:x:41:web\nother:x:42:webx\n");
    struct spec_user user;
    struct error err = {0};
    assert_int_equal(spec_look_up_user(layers, 2, "web", &user, &err), 0);
    assert_int_equal(user.uid, 33);
    assert_int_equal(user.gid, 34);
    assert_int_equal(user.group_count, 2);
    assert_int_equal(user.groups[0], 40);
    assert_int_equal(user.groups[1], 41);
    assert_string_equal(user.home, "/srv");
    spec_release_user(&user);
    assert_int_equal(spec_look_up_user(layers, 2, "33:log", &user, &err), 0);
    assert_int_equal(user.gid, 40);
    assert_int_equal(user.group_count, 0);
    spec_release_user(&user);
    assert_int_equal(spec_look_up_user(layers, 2, "5000", &user, &err), 0);
    assert_int_equal(user.uid, 5000);
    assert_int_equal(user.gid, 0);
    spec_release_user(&user);
    assert_int_equal(spec_look_up_user(layers, 2, "bad", &user, &err), -1);
    assert_int_equal(spec_look_up_user(layers, 2, "web:none", &user, &err), -1);
    assert_string_equal(err.text,
                        "group 'none' is not in the image's /etc/group (give its number)");
}

/* An image's links lead nowhere but into itself, and what is no file isn't waited for. */
static void images_cannot_lead_outside(void **state)
{
    (void)state;
    const char *const layers[] = {"evil", "lower"};
    struct spec_user user;
    struct error err = {0};
    write_file("outside", "secret:x:77:77::/:\n");
    assert_int_equal(
        system("rm -rf evil; mkdir -p evil/etc && ln -s ../../outside evil/etc/passwd"), 0);
    assert_int_equal(spec_look_up_user(layers, 1, "secret", &user, &err), -1);
    char target[128];
    snprintf(target, sizeof target, "rm evil/etc/passwd; ln -s %s/outside evil/etc/passwd", base);
    assert_int_equal(system(target), 0);
    assert_int_equal(spec_look_up_user(layers, 1, "secret", &user, &err), -1);
    assert_int_equal(system("rm evil/etc/passwd; mkfifo evil/etc/passwd"), 0);
    assert_int_equal(spec_look_up_user(layers, 1, "secret", &user, &err), -1);
    assert_int_equal(system("rm -r evil/etc; ln -s / evil/etc"), 0);
    assert_int_equal(spec_look_up_user(layers, 1, "root", &user, &err), -1);
}

static void what_an_upper_layer_removed_is_gone(void **state)
{
    (void)state;
    const char *const layers[] = {"gone", "lower"};
    struct spec_user user;
    struct error err = {0};
    assert_int_equal(system("mkdir -p gone/etc"), 0);
    assert_int_equal(spec_look_up_user(layers, 2, "web", &user, &err), 0);
    spec_release_user(&user);
    if (mknod("gone/etc/passwd", S_IFCHR, 0) < 0) {
        print_message("no device nodes here\n");
        skip();
    }
    assert_int_equal(spec_look_up_user(layers, 2, "web", &user, &err), -1);
    assert_int_equal(unlink("gone/etc/passwd"), 0);
    if (setxattr("gone/etc", "trusted.overlay.opaque", "y", 1, 0) < 0) {
        print_message("no attributes of overlayfs here\n");
        skip();
    }
    assert_int_equal(spec_look_up_user(layers, 2, "web", &user, &err), -1);
}

/* The action of the first rule for a system call that has no condition; NULL: the default's. */
static const char *action_of(const json_t *filter, const char *name)
{
    const json_t *rule, *item;
    size_t i, j;
    json_array_foreach(json_object_get(filter, "syscalls"), i, rule) json_array_foreach(
        json_object_get(rule, "names"), j,
        item) if (strcmp(json_string_value(item), name) == 0 &&
                  !json_object_get(
                      rule, "args")) return json_string_value(json_object_get(rule, "action"));
    return NULL;
}

static void the_default_filter_follows_capabilities(void **state)
{
    (void)state;
    static const char *const dangerous[] = {"mount",
                                            "umount2",
                                            "pivot_root",
                                            "unshare",
                                            "setns",
                                            "bpf",
                                            "clone",
                                            "init_module",
                                            "kexec_load",
                                            "reboot",
                                            "swapon",
                                            "keyctl",
                                            "add_key",
                                            "request_key",
                                            "userfaultfd",
                                            "ioperm",
                                            "settimeofday",
                                            "syslog",
                                            "acct",
                                            "perf_event_open",
                                            "open_by_handle_at",
                                            "process_vm_writev",
                                            "nfsservctl",
                                            "quotactl",
                                            "io_uring_setup",
                                            "vhangup",
                                            "move_pages",
                                            "mbind",
                                            "kcmp",
                                            "personality",
                                            "socket",
                                            "fsopen",
                                            "open_tree",
                                            "sethostname",
                                            "chroot"};
    json_t *none = json_array();
    json_t *filter = spec_default_seccomp(none);
    for (size_t i = 0; i < sizeof dangerous / sizeof *dangerous; i++)
        if (action_of(filter, dangerous[i]))
            fail_msg("%s is allowed", dangerous[i]);
    assert_string_equal(action_of(filter, "clone3"), "SCMP_ACT_ERRNO");
    assert_string_equal(action_of(filter, "openat2"), "SCMP_ACT_ALLOW");
    json_decref(filter);
    json_array_append_new(none, json_string("CAP_SYS_ADMIN"));
    filter = spec_default_seccomp(none);
    assert_string_equal(action_of(filter, "mount"), "SCMP_ACT_ALLOW");
    assert_string_equal(action_of(filter, "clone3"), "SCMP_ACT_ALLOW");
    assert_null(action_of(filter, "reboot"));
    json_decref(filter);
    json_decref(none);
}

static void what_is_made_is_what_the_runtime_reads(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{'Cmd': ['x']}",
        "{'Cmd': ['x'], 'HostConfig': {'Privileged': true}}",
        "{'Cmd': ['x'], 'Tty': true, 'HostConfig': {'Memory': 9999999, 'NanoCpus': 500000000, "
        "'PidsLimit': 5, 'BlkioWeight': 100, 'CpusetCpus': '0', 'OomKillDisable': true, "
        "'ConsoleSize': [24, 80]}}",
        "{'Cmd': ['x'], 'HostConfig': {'PidMode': 'host', 'IpcMode': 'host', 'UTSMode': 'host', "
        "'CgroupnsMode': 'private', 'MaskedPaths': [], 'ReadonlyPaths': ['/proc']}}",
        "{'Cmd': ['x'], 'Env': ['A=1'], 'HostConfig': {'Binds': ['/tmp:/b:ro,rslave'], 'Tmpfs': "
        "{'/t': 'exec,size=1m'}, 'Ulimits': [{'Name': 'nofile', 'Soft': -1, 'Hard': -1}], "
        "'Annotations': {'a': 'b'}, 'Sysctls': {'kernel.msgmax': '5'}}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = strdup(cases[i]);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        json_t *settings = json_loads(text, 0, NULL), *made = NULL;
        free(text);
        assert_non_null(settings);
        struct error err = {0};
        json_t *mounts = settings_list_mounts(settings, &err);
        const struct spec_input input = {
            .id = "0123456789abcdef", .settings = settings, .rootfs = "/r", .mounts = mounts};
        if (spec_make(&input, &made, &err) < 0)
            fail_msg("%s: %s", cases[i], err.text);
        char *document = json_dumps(made, 0);
        struct config config;
        if (config_parse(&config, document, strlen(document), &err) < 0)
            fail_msg("%s: %s", cases[i], err.text);
        config_release(&config);
        free(document);
        json_decref(made);
        json_decref(mounts);
        json_decref(settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_found_across_layers),
        cmocka_unit_test(images_cannot_lead_outside),
        cmocka_unit_test(what_an_upper_layer_removed_is_gone),
        cmocka_unit_test(the_default_filter_follows_capabilities),
        cmocka_unit_test(what_is_made_is_what_the_runtime_reads),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
