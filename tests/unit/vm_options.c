/* The command line of hull-vmm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/control/options.h"

#define MAX_WORDS 32

/* Reads the words, which are separated by single blanks and live in text. */
static int read_words(struct vm_options *options, char *text, struct error *err)
{
    char *words[MAX_WORDS + 1] = {(char *)(uintptr_t) "hull-vmm"}, *rest = text, *word;
    int count = 1;
    *err = (struct error){0};
    while ((word = strsep(&rest, " ")) && *word && count < MAX_WORDS)
        words[count++] = word;
    return vm_options_read(options, count, words, err);
}

static void expect_error(const char *line, const char *error)
{
    struct vm_options options;
    struct error err;
    char text[512];
    strcpy(text, line);
    assert_int_equal(read_words(&options, text, &err), -1);
    if (!strstr(err.text, error))
        fail_msg("%s: got '%s', expected '%s'", line, err.text, error);
    vm_options_release(&options);
}

static void test_defaults(void **state)
{
    struct vm_options options;
    struct error err;
    char text[] = "";
    (void)state;
    assert_int_equal(read_words(&options, text, &err), 0);
    assert_string_equal(options.api_socket, "/run/firecracker.socket");
    assert_string_equal(options.id, "anonymous-instance");
    assert_int_equal(options.body_limit, 51200);
    assert_int_equal(options.metadata_limit, 51200);
    assert_true(options.seccomp && !options.pci && !options.boot_timer && !options.user_interrupts);
    assert_true(options.engine == VM_ENGINE_AUTO && !options.logger.given);
    assert_null(options.jail.directory);
    assert_null(options.config_file);
    vm_options_release(&options);
}

static void test_all_flags(void **state)
{
    struct vm_options options;
    struct error err;
    char text[] = "--api-sock /s --config-file=c --metadata m --id a-1 --engine kvm --enable-pci "
                  "--irqchip user "
                  "--gdb g";
    char more[] = "--level warn --log-path l --show-level --module vm/device/ "
                  "--http-api-max-payload-size 100 --boot-timer --no-seccomp --metrics-path mm";
    char jail[] = "run --jail /j --uid 7 --gid 8 --netns /n --new-pid-ns --resource-limit fsize=1 "
                  "--resource-limit no-file=2 --mmds-size-limit 9";
    (void)state;
    assert_int_equal(read_words(&options, text, &err), 0);
    assert_string_equal(options.api_socket, "/s");
    assert_string_equal(options.config_file, "c");
    assert_string_equal(options.metadata_file, "m");
    assert_string_equal(options.id, "a-1");
    assert_string_equal(options.gdb_socket, "g");
    assert_true(options.engine == VM_ENGINE_KVM && options.pci && options.user_interrupts);
    vm_options_release(&options);
    assert_int_equal(read_words(&options, more, &err), 0);
    assert_true(options.logger.given && options.logger.level_given &&
                options.logger.show_level_given && !options.logger.show_origin_given &&
                options.logger.level == LOG_LEVEL_WARNING);
    assert_string_equal(options.logger.module, "vm/device/");
    assert_true(options.body_limit == 100 && options.metadata_limit == 100);
    assert_true(options.boot_timer && !options.seccomp);
    assert_string_equal(options.metrics_path, "mm");
    vm_options_release(&options);
    assert_int_equal(read_words(&options, jail, &err), 0);
    assert_true(options.jail.uid == 7 && options.jail.gid == 8 && options.jail.new_pid_namespace);
    assert_int_equal(options.jail.limit_count, 2);
    assert_string_equal(options.jail.limits[1], "no-file=2");
    assert_true(options.body_limit == 51200 && options.metadata_limit == 9);
    vm_options_release(&options);
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("--nothing", "nothing");
    expect_error("--no-api", "--no-api needs --config-file");
    expect_error("--no-api --api-sock s --config-file c", "exclude each other");
    expect_error("--seccomp-filter f", "built in");
    expect_error("--snapshot-version", "snapshots come with hull's migration");
    expect_error("--describe-snapshot f", "snapshots come with hull's migration");
    expect_error("--id a_b", "Invalid instance ID");
    expect_error("--level loud", "expected Off, Error");
    expect_error("--http-api-max-payload-size 0", "expected a number from 1");
    expect_error("--http-api-max-payload-size 1k", "expected a number from 1");
    expect_error("--engine qemu", "engine");
    expect_error("--uid 5", "only with --jail");
    expect_error("--jail /j --uid 5", "needs --uid and --gid");
    expect_error("--jail /j --uid -1 --gid 5", "--uid -1");
    expect_error("fly", "fly");
    expect_error("run now", "unexpected argument 'now'");
}

/* What is asked for is printed, and the program is to end. */
static void test_help_and_version(void **state)
{
    static const struct {
        const char *line, *output;
    } cases[] = {{"--version", "(API of Firecracker 1.16.1)"},
                 {"--help", "--api-sock PATH"},
                 {"run --help", "--mmds-size-limit BYTES"},
                 {"help", "Usage: hull-vmm"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vm_options options;
        struct error err;
        char line[64], output[8192] = "";
        strcpy(line, cases[i].line);
        fflush(stdout);
        int saved = dup(STDOUT_FILENO), file = memfd_create("output", MFD_CLOEXEC);
        dup2(file, STDOUT_FILENO);
        int status = read_words(&options, line, &err);
        fflush(stdout);
        dup2(saved, STDOUT_FILENO);
        close(saved);
        assert_true(pread(file, output, sizeof output - 1, 0) > 0);
        close(file);
        assert_int_equal(status, 1);
        assert_non_null(strstr(output, cases[i].output));
        vm_options_release(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_flags),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_help_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
