/* The initrd of guests: the modules chosen, their order, compression, the cache. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
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

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/image/initrd.h"
#include "vm/image/modules.h"

static char directory[64], tree_path[96], agent_path[96], cache_path[96];

/* ---- a kernel's modules, made here ---- */

struct made_module {
    Elf64_Ehdr header;
    Elf64_Shdr sections[3];
    char names[32];
    char information[256];
};

/* The least that is a module to who looks for .modinfo. */
static struct made_module make_module(const char *depends)
{
    static const char names[] = "\0.shstrtab\0.modinfo";
    struct made_module module = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
                   .e_shoff = offsetof(struct made_module, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 3,
                   .e_shstrndx = 1},
        .sections = {{0},
                     {.sh_name = 1,
                      .sh_offset = offsetof(struct made_module, names),
                      .sh_size = sizeof names},
                     {.sh_name = 11,
                      .sh_offset = offsetof(struct made_module, information),
                      .sh_size = sizeof module.information}},
    };
    memcpy(module.names, names, sizeof names);
    snprintf(module.information, sizeof module.information, "license=GPL%cdepends=%s", '\0',
             depends);
    return module;
}

static void write_text(const char *path, const void *bytes, size_t length)
{
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, bytes, length), 0);
}

static void write_module(const char *name, const char *depends)
{
    struct made_module module = make_module(depends);
    scope_free char *path = memory_format("%s/kernel/%s", tree_path, name);
    write_text(path, &module, sizeof module);
}

static void write_index(const char *name, const char *text)
{
    scope_free char *path = memory_format("%s/%s", tree_path, name);
    write_text(path, text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "./initrd-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(tree_path, sizeof tree_path, "%s/modules", directory);
    snprintf(agent_path, sizeof agent_path, "%s/agent", directory);
    snprintf(cache_path, sizeof cache_path, "%s/a/cache", directory);
    scope_free char *kernel = memory_format("%s/kernel", tree_path);
    assert_int_equal(file_make_directories(kernel, 0755, NULL), 0);
    write_text(agent_path, "the agent", 9);
    write_index("modules.builtin", "kernel/ext4.ko\nkernel/overlay.ko\n");
    write_index("modules.order",
                "kernel/virtio_pci.ko\nkernel/virtio_ring.ko\nkernel/virtio.ko\n"
                "kernel/virtio_blk.ko\nkernel/vmw_vsock_virtio_transport.ko\nkernel/v-sock.ko\n"
                "kernel/erofs.ko\nkernel/virtio-rng.ko\nkernel/unwanted.ko\n");
    write_module("virtio_pci.ko", "virtio,virtio_ring");
    write_module("virtio_ring.ko", "");
    write_module("virtio.ko", "virtio-ring");
    write_module("virtio_blk.ko", "virtio,virtio_ring");
    write_module("vmw_vsock_virtio_transport.ko", "virtio,v_sock");
    write_module("v-sock.ko", "");
    write_module("erofs.ko", "");
    write_module("virtio-rng.ko", "virtio");
    write_module("unwanted.ko", "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scope_free char *command = memory_format("rm -rf %s", directory);
    return system(command);
}

static char *output_of(const char *format, const char *path)
{
    scope_free char *command = memory_format(format, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = file_read_all_fd(fileno(pipe), "cpio", 1 << 20, NULL, NULL);
    assert_int_equal(pclose(pipe), 0);
    return text;
}

static char *obtain(void)
{
    struct initrd_parts parts = {agent_path, tree_path};
    struct error err = {0};
    char *path = initrd_obtain(&parts, cache_path, &err);
    if (!path)
        fail_msg("%s", err.text);
    return path;
}

/* ---- tests ---- */

static void test_lists_what_a_guest_needs_in_order(void **state)
{
    (void)state;
    scope_free char *path = obtain();
    scope_free char *list = output_of("cpio --quiet -t <%s", path);
    assert_string_equal(list, "dev\ndev/console\ninit\nmodules\n"
                              "modules/virtio_ring.ko\nmodules/virtio.ko\nmodules/virtio_pci.ko\n"
                              "modules/virtio_blk.ko\nmodules/v_sock.ko\n"
                              "modules/vmw_vsock_virtio_transport.ko\nmodules/erofs.ko\n"
                              "modules/virtio_rng.ko\nmodules/order\n");
    scope_free char *order = output_of("cpio --quiet -i --to-stdout modules/order <%s", path);
    assert_string_equal(order, "virtio_ring.ko\nvirtio.ko\nvirtio_pci.ko\nvirtio_blk.ko\n"
                               "v_sock.ko\nvmw_vsock_virtio_transport.ko\nerofs.ko fs:erofs\n"
                               "virtio_rng.ko virtio:4\n");
    scope_free char *agent = output_of("cpio --quiet -i --to-stdout init <%s", path);
    assert_string_equal(agent, "the agent");
    scope_free char *modes = output_of(
        "cpio --quiet -tvn <%s | awk '{ print $1, $3, $4 }' | sort -u | tr '\\n' ';'", path);
    assert_string_equal(modes, "-rw-r--r-- 0 0;-rwxr-xr-x 0 0;crw------- 0 0;drwxr-xr-x 0 0;");
}

static void test_is_made_once_and_the_same(void **state)
{
    (void)state;
    struct stat first, second;
    scope_free char *path = obtain(), *again = obtain();
    assert_string_equal(path, again);
    scope_free char *other = memory_format("%s/other", directory);
    struct initrd_parts parts = {agent_path, tree_path};
    assert_int_equal(initrd_write(&parts, other, NULL), 0);
    scope_free char *compare = memory_format("cmp %s %s", path, other);
    assert_int_equal(system(compare), 0);
    assert_int_equal(stat(path, &first), 0);
    again = (free(again), obtain());
    assert_int_equal(stat(again, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    /* Another agent, or another module, is another initrd. */
    write_text(agent_path, "other agent", 11);
    scope_free char *changed = obtain();
    assert_string_not_equal(changed, path);
    write_module("erofs.ko", "v-sock");
    scope_free char *changed_again = obtain();
    assert_string_not_equal(changed_again, changed);
    scope_free char *left =
        output_of("ls %s | grep -vc '^initrd-[0-9a-f]*.cpio$' || true", cache_path);
    assert_string_equal(left, "0\n");
}

static void test_says_what_a_kernel_lacks(void **state)
{
    (void)state;
    struct error err = {0};
    struct initrd_parts parts = {agent_path, tree_path};
    write_index("modules.builtin", "kernel/ext4.ko\n");
    assert_null(initrd_obtain(&parts, cache_path, &err));
    assert_non_null(strstr(err.text, "for the container's root it needs overlay, which it has "));
    write_index("modules.builtin", "kernel/ext4.ko\nkernel/overlay.ko\n");
    write_module("virtio_blk.ko", "virtio,nowhere");
    assert_null(initrd_obtain(&parts, cache_path, &err));
    assert_non_null(strstr(err.text, "virtio_blk depends on nowhere"));
    parts.modules = directory;
    assert_null(initrd_obtain(&parts, cache_path, &err));
    assert_non_null(strstr(err.text, "is it a kernel's directory of modules?"));
    parts = (struct initrd_parts){"/nonexistent", tree_path};
    assert_null(initrd_obtain(&parts, cache_path, &err));
    assert_non_null(strstr(err.text, "the guest's agent"));
}

static void test_a_kernel_without_modules_gets_none(void **state)
{
    (void)state;
    struct initrd_parts parts = {agent_path, NULL};
    struct error err = {0};
    scope_free char *path = initrd_obtain(&parts, cache_path, &err);
    assert_non_null(path);
    scope_free char *list = output_of("cpio --quiet -t <%s", path);
    assert_string_equal(list, "dev\ndev/console\ninit\n");
}

/* By modules.dep, with compressed files, as other distributions have them. */
static void test_takes_compressed_modules(void **state)
{
    (void)state;
    scope_free char *plain = obtain();
    scope_free char *command = memory_format(
        "cd %s && gzip kernel/virtio.ko && xz kernel/erofs.ko && zstd -q --rm kernel/virtio_blk.ko "
        "&& "
        "sed -e 's/virtio.ko/&.gz/' -e 's/erofs.ko/&.xz/' -e 's/virtio_blk.ko/&.zst/' "
        "-e 's/$/: kernel\\/virtio.ko/' modules.order >modules.dep && rm modules.order",
        tree_path);
    assert_int_equal(system(command), 0);
    scope_free char *compressed = obtain();
    assert_string_not_equal(plain, compressed);
    scope_free char *compare = memory_format("cmp %s %s", plain, compressed);
    assert_int_equal(system(compare), 0);
}

static void test_damaged_modules_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    size_t length;
    scope_free char *path = memory_format("%s/kernel/bad.ko.zst", tree_path);
    write_text(path, "no zstd at all", 14);
    assert_null(module_read(tree_path, "kernel/bad.ko.zst", &length, &err));
    assert_non_null(strstr(err.text, "can't decompress"));
    /* Whatever is in a header, nothing outside the file is looked at. */
    struct made_module module = make_module("a");
    const char *value;
    for (size_t i = 0; i < sizeof module.header + sizeof module.sections; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct made_module *damaged = memory_allocate(1, sizeof module);
            *damaged = module;
            ((char *)damaged)[i] ^= (char)(1 << bit);
            if (module_information((const char *)damaged, sizeof module, "depends", &value,
                                   &length))
                assert_in_range(length, 0, sizeof module);
            free(damaged);
        }
    }
    for (size_t cut = 0; cut < sizeof module; cut++) {
        char *part = memory_allocate(1, cut);
        memcpy(part, &module, cut);
        module_information(part, cut, "depends", &value, &length);
        free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lists_what_a_guest_needs_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_made_once_and_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_says_what_a_kernel_lacks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kernel_without_modules_gets_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takes_compressed_modules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_modules_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
