#include "vm/image/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "image/sha256.h"
#include "vm/image/cpio.h"
#include "vm/image/modules.h"

#define FORMAT 2 /* changed when what is made of the same parts changes */
#define AGENT_LIMIT ((size_t)16 << 20)

/* In this order. A guest can't do without one of each line with a purpose; the first of the line
 * decides where it stands. Inserting a module takes time, so most wait for a condition: a virtio
 * device of that number (virtio 1.2, section 5), or a file system that is to be mounted. */
static const struct need {
    const char *purpose; /* NULL: only taken where it is there */
    const char *names[3];
    const char *conditions; /* any of them; NULL: always */
} needs[] = {
    /* What file systems ask the kernel's cryptography for by name. */
    {NULL, {"crc32c_generic", "crc32c_intel"}, "fs:ext4 fs:erofs"},
    {"a way to its devices", {"virtio_pci", "virtio_mmio"}, NULL},
    {"disks", {"virtio_blk"}, NULL},
    {"the agent", {"vmw_vsock_virtio_transport"}, NULL},
    {"the container's root", {"overlay"}, NULL},
    {"the image's layers", {"erofs"}, "fs:erofs"},
    {NULL, {"squashfs"}, "fs:squashfs"},
    {"writable disks", {"ext4"}, "fs:ext4"},
    {NULL, {"virtio_net"}, "virtio:1"},
    {NULL, {"virtio_console"}, "virtio:3"},
    {NULL, {"virtio_rng"}, "virtio:4"},
    {NULL, {"virtio_balloon"}, "virtio:5"},
    {NULL, {"virtio_mem"}, "virtio:24"},
    {NULL, {"fuse", "virtiofs"}, "virtio:26"},
    {NULL, {"nd_pmem", "virtio_pmem"}, "virtio:27"},
};
#define NEED_COUNT (sizeof needs / sizeof *needs)

static int choose(struct module_tree *tree, unsigned int number, struct error *err)
{
    const struct need *need = &needs[number];
    bool found = false;
    for (size_t i = 0; i < 3 && need->names[i]; i++) {
        if (module_presence(tree, need->names[i]) == MODULE_ABSENT)
            continue;
        found = true;
        if (module_choose(tree, need->names[i], number, err) < 0)
            return -1;
    }
    if (found || !need->purpose)
        return 0;
    return error_set(err, ENOENT,
                     "the kernel of %s can't run a guest: for %s it needs %s%s%s, which it has "
                     "neither built in nor as a module (choose another kernel)",
                     tree->directory, need->purpose, need->names[0], need->names[1] ? " or " : "",
                     need->names[1] ? need->names[1] : "");
}

static int choose_all(struct module_tree *tree, struct error *err)
{
    for (unsigned int i = 0; i < NEED_COUNT; i++) {
        if (choose(tree, i, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- writing ---- */

/* "NAME.ko", and the conditions of all that need it, unless one of them always does. */
static char *order_line(char *order, const struct module *module)
{
    scope_free char *conditions = memory_copy_string(""), *before = order;
    bool always = false;
    for (size_t i = 0; i < NEED_COUNT; i++) {
        if (!(module->needs & UINT64_C(1) << i))
            continue;
        always = always || !needs[i].conditions;
        scope_free char *so_far = conditions;
        conditions = memory_format("%s %s", so_far, needs[i].conditions ? needs[i].conditions : "");
    }
    return memory_format("%s%s.ko%s\n", before, module->name, always ? "" : conditions);
}

static void add_modules(struct cpio *cpio, const struct module_tree *tree)
{
    scope_free char *order = memory_copy_string("");
    cpio_add(cpio, "modules", S_IFDIR | 0755, 0, "", 0);
    for (size_t i = 0; i < tree->chosen_count; i++) {
        const struct module *module = tree->chosen[i];
        scope_free char *path = memory_format("modules/%s.ko", module->name);
        cpio_add(cpio, path, S_IFREG | 0644, 0, module->contents, module->length);
        order = order_line(order, module);
    }
    cpio_add(cpio, "modules/order", S_IFREG | 0644, 0, order, strlen(order));
}

static int write_file(const char *path, const char *agent, size_t agent_length,
                      const struct module_tree *tree, struct error *err)
{
    scope_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        return error_set(err, errno, "can't make %s", path);
    scope_take_fd(&fd);
    struct cpio cpio = {.file = file};
    cpio_add(&cpio, "dev", S_IFDIR | 0755, 0, "", 0);
    cpio_add(&cpio, "dev/console", S_IFCHR | 0600, makedev(5, 1), "", 0);
    cpio_add(&cpio, "init", S_IFREG | 0755, 0, agent, agent_length);
    if (tree)
        add_modules(&cpio, tree);
    cpio_finish(&cpio);
    bool failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) < 0;
    int code = errno;
    if ((fclose(file) != 0 || failed) && error_set(err, code, "can't write %s", path) < 0) {
        unlink(path);
        return -1;
    }
    return 0;
}

static char *read_agent(const struct initrd_parts *parts, size_t *length, struct error *err)
{
    char *agent = file_read_all(AT_FDCWD, parts->agent, AGENT_LIMIT, length, err);
    if (!agent)
        error_wrap(err, "the guest's agent");
    return agent;
}

int initrd_write(const struct initrd_parts *parts, const char *path, struct error *err)
{
    size_t length;
    struct module_tree tree = {0};
    scope_free char *agent = read_agent(parts, &length, err);
    if (!agent || (parts->modules && module_tree_open(&tree, parts->modules, err) < 0))
        return -1;
    int result = parts->modules ? choose_all(&tree, err) : 0;
    if (result == 0)
        result = write_file(path, agent, length, parts->modules ? &tree : NULL, err);
    module_tree_close(&tree);
    return result;
}

/* ---- the cache ---- */

/* A file of the kernel's: its contents, which would take long to read, change with these. */
static char *add_file(char *key, const char *directory, const char *name)
{
    struct stat status = {0};
    scope_free char *path = memory_format("%s/%s", directory, name), *before = key;
    if (stat(path, &status) < 0)
        status = (struct stat){0};
    return memory_format("%s%s %lld %lld.%09ld\n", before, name, (long long)status.st_size,
                         (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

static int add_modules_to_key(char **key, const char *directory, struct error *err)
{
    static const char *const indexes[] = {"modules.dep", "modules.order", "modules.builtin"};
    struct module_tree tree;
    if (module_tree_open(&tree, directory, err) < 0)
        return -1;
    for (size_t i = 0; i < 3; i++)
        *key = add_file(*key, directory, indexes[i]);
    for (size_t i = 0; i < NEED_COUNT; i++) {
        for (size_t j = 0; j < 3 && needs[i].names[j]; j++) {
            const struct module *module = module_find(&tree, needs[i].names[j]);
            if (module && !module->is_built_in)
                *key = add_file(*key, directory, module->path);
        }
    }
    module_tree_close(&tree);
    return 0;
}

/* What the initrd is made of, as a name. */
static char *make_key(const struct initrd_parts *parts, struct error *err)
{
    unsigned char sum[SHA256_SIZE];
    char digits[2 * SHA256_SIZE + 1];
    size_t length;
    scope_free char *agent = read_agent(parts, &length, err);
    if (!agent)
        return NULL;
    sha256(agent, length, sum);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        sprintf(digits + 2 * i, "%02x", sum[i]);
    scope_free char *key =
        memory_format("%d %s %s\n", FORMAT, digits, parts->modules ? parts->modules : "none");
    if (parts->modules && add_modules_to_key(&key, parts->modules, err) < 0)
        return NULL;
    sha256(key, strlen(key), sum);
    for (size_t i = 0; i < 16; i++)
        sprintf(digits + 2 * i, "%02x", sum[i]);
    return memory_copy_string(digits);
}

char *initrd_obtain(const struct initrd_parts *parts, const char *cache, struct error *err)
{
    scope_free char *key = make_key(parts, err);
    if (!key)
        return NULL;
    scope_free char *path = memory_format("%s/initrd-%s.cpio", cache, key);
    if (access(path, R_OK) == 0)
        return scope_take_pointer(path);
    if (file_make_directories(cache, 0755, err) < 0)
        return NULL;
    scope_free char *beside = memory_format("%s.%d", path, getpid());
    unlink(beside); /* of one that was killed, and had our pid */
    if (initrd_write(parts, beside, err) < 0)
        return NULL;
    if (rename(beside, path) < 0) {
        error_set(err, errno, "can't rename %s to %s", beside, path);
        unlink(beside);
        return NULL;
    }
    return scope_take_pointer(path);
}
