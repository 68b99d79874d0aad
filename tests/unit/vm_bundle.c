/* vm/runtime/bundle: what hull-vm makes of config.json and machine.json. */
#include "vm/runtime/bundle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"

static const char config[] =
    "{\"ociVersion\":\"1.2.0\",\"process\":{\"args\":[\"sh\"],\"terminal\":true},\"mounts\":["
    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
    "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/srv/"
    "data\",\"options\":[\"rbind\"]},"
    "{\"destination\":\"/ro\",\"source\":\"/srv/ro\",\"options\":[\"bind\",\"ro\"]}],"
    "\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/net\"}]}}";
static const char machine[] =
    "{\"vcpus\":2,\"memory\":512,\"partitions\":3,\"owner\":1234,\"kernel\":\"/k\",\"initrd\":\"/"
    "i\","
    "\"arguments\":\"quiet\",\"disk\":\"/d\",\"engine\":\"kvm\",\"monitor\":\"/"
    "m\",\"volatile\":true,"
    "\"network\":{\"interfaces\":[{\"name\":\"eth1\",\"mac\":\"02:42:00:00:00:01\"}]}}";

static char directory[] = "/tmp/hull-bundle-XXXXXX";

static void write_file(const char *name, const char *text)
{
    scope_free char *path = memory_format("%s/%s", directory, name);
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    struct error err;
    (void)state;
    return remove_tree(AT_FDCWD, directory, NULL, &err);
}

/* The text at a path such as "drives/0/format" of a document; numbers count arrays. */
static const char *at(const json_t *document, const char *path)
{
    scope_free char *copy = memory_copy_string(path);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, "/"));)
        document = json_is_array(document) ? json_array_get(document, (size_t)atoi(word))
                                           : json_object_get(document, word);
    return json_string_value(document);
}

static void test_documents(void **state)
{
    scope_bundle struct bundle bundle;
    struct error err;
    (void)state;
    write_file("config.json", config);
    write_file("machine.json", machine);
    assert_int_equal(bundle_read(&bundle, directory, &err), 0);
    assert_true(bundle.has_terminal && bundle.is_volatile);
    assert_int_equal(bundle.owner, 1234);
    assert_string_equal(bundle.network_namespace, "/run/net");
    assert_int_equal(bundle.share_count, 2);
    assert_string_equal(bundle.shares[0].source, "/srv/data");
    assert_true(bundle.shares[0].is_recursive && !bundle.shares[0].is_read_only);
    assert_true(!bundle.shares[1].is_recursive && bundle.shares[1].is_read_only);

    json_t *boot = bundle_describe_boot(&bundle);
    assert_string_equal(at(boot, "spec/mounts/0/source"), "proc");
    assert_string_equal(at(boot, "spec/mounts/1/source"), "/shares/volumes/0");
    assert_string_equal(at(boot, "spec/mounts/2/source"), "/shares/volumes/1");
    /* Partition 1 is the top layer: it comes last. */
    assert_string_equal(at(boot, "root/layers/0/device"), "/dev/vda3");
    assert_string_equal(at(boot, "root/layers/2/device"), "/dev/vda1");
    assert_string_equal(at(boot, "root/disk/device"), "/dev/vdb");
    assert_string_equal(at(boot, "shares/0"), "volumes");
    json_decref(boot);

    json_t *settings = bundle_describe_machine(&bundle);
    assert_string_equal(at(settings, "boot-source/boot_args"), "quiet");
    assert_string_equal(at(settings, "drives/0/format"), "Composite");
    assert_string_equal(at(settings, "drives/1/cache_type"), "Unsafe");
    assert_string_equal(at(settings, "network-interfaces/0/host_dev_name"), "tap1");
    assert_string_equal(at(settings, "network-interfaces/0/guest_mac"), "02:42:00:00:00:01");
    assert_string_equal(at(settings, "filesystems/0/path_on_host"), "/shares");
    json_decref(settings);
}

/* Neither shares nor interfaces: none are described. */
static void test_little(void **state)
{
    scope_bundle struct bundle bundle;
    struct error err;
    (void)state;
    write_file("config.json", "{\"process\":{\"args\":[\"sh\"]},\"linux\":{\"namespaces\":["
                              "{\"type\":\"network\",\"path\":\"/n\"}]}}");
    write_file("machine.json",
               "{\"vcpus\":1,\"memory\":64,\"partitions\":1,\"owner\":1,\"kernel\":\"/k\","
               "\"initrd\":\"/i\",\"arguments\":\"\",\"disk\":\"/d\",\"engine\":\"auto\","
               "\"monitor\":\"/m\"}");
    assert_int_equal(bundle_read(&bundle, directory, &err), 0);
    json_t *boot = bundle_describe_boot(&bundle), *settings = bundle_describe_machine(&bundle);
    assert_null(json_object_get(boot, "shares"));
    assert_null(json_object_get(boot, "network"));
    assert_null(json_object_get(settings, "filesystems"));
    assert_int_equal(json_array_size(json_object_get(settings, "network-interfaces")), 0);
    assert_string_equal(at(settings, "drives/1/cache_type"), "Writeback");
    json_decref(boot);
    json_decref(settings);
}

static void refuse(const char *config_text, const char *machine_text, const char *reason)
{
    struct bundle bundle;
    struct error err;
    write_file("config.json", config_text);
    write_file("machine.json", machine_text);
    assert_int_equal(bundle_read(&bundle, directory, &err), -1);
    if (!strstr(err.text, reason))
        fail_msg("'%s' doesn't say '%s'", err.text, reason);
    bundle_release(&bundle);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("[]", machine, "not an object");
    refuse("{", machine, "config.json: line 1");
    refuse(config, "{}", "vcpus");
    refuse(config, "{\"vcpus\":33}", "vcpus isn't 1 to 32");
    refuse(config, "{\"vcpus\":1,\"memory\":\"1\"}", "memory");
    refuse(config, "{\"vcpus\":1,\"memory\":64,\"partitions\":1,\"owner\":0}", "owner");
    refuse(config, "{\"vcpus\":1,\"memory\":64,\"partitions\":1,\"owner\":1}", "kernel is missing");
    refuse("{\"linux\":{}}", machine, "network namespace");
    refuse("{\"mounts\":[{\"type\":\"bind\",\"source\":\"relative\"}],\"linux\":{\"namespaces\":["
           "{\"type\":\"network\",\"path\":\"/n\"}]}}",
           machine, "mounts[0].source");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_little),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
