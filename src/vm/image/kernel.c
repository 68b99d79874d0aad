#include "vm/image/kernel_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"

#define INFO_LIMIT (64u << 10)
#define BOOT "/boot"
#define NEXT_DEFAULT                                                                               \
    ".next" /* the link that becomes the default; made and renamed under the lock */

void kernel_release(struct kernel *kernel)
{
    free(kernel->name);
    free(kernel->vmlinuz);
    free(kernel->vmlinux);
    free(kernel->modules);
    free(kernel->config);
    free(kernel->source);
    *kernel = (struct kernel){0};
}

void kernel_list_release(struct kernel_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        kernel_release(&list->kernels[i]);
    free(list->kernels);
    *list = (struct kernel_list){0};
}

/* ---- The store ---- */

int kernel_open_store(const char *root, struct error *err)
{
    scope_free char *path = memory_format("%s/kernels", root);
    if (file_make_directories(path, 0700, err) < 0)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set(err, errno, "can't open %s", path) : fd;
}

int kernel_lock_store(int store, struct error *err)
{
    scope_close int fd = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 || flock(fd, LOCK_EX) < 0)
        if (fd < 0 || errno != EINTR)
            return error_set(err, errno, "can't lock the kernels");
    return scope_take_fd(&fd);
}

int kernel_check_name(const char *name, struct error *err)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_.+~-");
    if (length == 0 || length > KERNEL_NAME_MAX || name[length] || strchr("._+~-", *name))
        return error_set(err, 0,
                         "a kernel can't be called '%.80s' (letters, digits and _.+~-, at most %d, "
                         "beginning with a letter or digit)",
                         name, KERNEL_NAME_MAX);
    if (strcmp(name, KERNEL_DEFAULT) == 0 || strcmp(name, KERNEL_HOST) == 0)
        return error_set(err, 0, "a kernel can't be called '%s', which means another one", name);
    return 0;
}

int kernel_read_default(int store, char name[KERNEL_NAME_MAX + 1])
{
    ssize_t length = readlinkat(store, KERNEL_DEFAULT, name, KERNEL_NAME_MAX + 1);
    if (length <= 0 || length > KERNEL_NAME_MAX)
        return 0;
    name[length] = '\0';
    return kernel_check_name(name, NULL) == 0;
}

int kernel_write_default(int store, const char *name, struct error *err)
{
    unlinkat(store, NEXT_DEFAULT, 0);
    if (symlinkat(name, store, NEXT_DEFAULT) < 0 ||
        renameat(store, NEXT_DEFAULT, store, KERNEL_DEFAULT) < 0)
        return error_set(err, errno, "can't make kernel %s the default", name);
    return 0;
}

/* ---- Reading ---- */

/* The path if something is there. */
static char *path_if_there(const char *directory, const char *name)
{
    char *path = memory_format("%s/%s", directory, name);
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *copy_member(const json_t *info, const char *key)
{
    const char *text = json_string_value(json_object_get(info, key));
    return memory_copy_string(text ? text : "");
}

/* 1; 0: there is no such kernel. */
static int read_stored(const char *root, int store, const char *name, struct kernel *kernel,
                       struct error *err)
{
    *kernel = (struct kernel){0};
    scope_free char *document = memory_format("%s/kernel.json", name);
    struct error reason = {0};
    size_t length;
    scope_free char *text = file_read_all(store, document, INFO_LIMIT, &length, &reason);
    if (!text && reason.code == ENOENT)
        return 0;
    json_t *info = text ? json_loadb(text, length, 0, NULL) : NULL;
    if (!json_is_object(info)) {
        json_decref(info);
        return error_set(err, 0, "kernel %s is damaged (remove it)", name);
    }
    scope_free char *absolute = realpath(root, NULL);
    scope_free char *directory = memory_format("%s/kernels/%s", absolute ? absolute : root, name);
    scope_free char *version = copy_member(info, "version");
    kernel->name = memory_copy_string(name);
    snprintf(kernel->version, sizeof kernel->version, "%s", version);
    kernel->source = copy_member(info, "source");
    kernel->size = json_integer_value(json_object_get(info, "size"));
    kernel->created = json_integer_value(json_object_get(info, "created"));
    kernel->vmlinuz = path_if_there(directory, "vmlinuz");
    kernel->vmlinux = path_if_there(directory, "vmlinux");
    kernel->config = path_if_there(directory, "config");
    scope_free char *modules = memory_format("lib/modules/%s", version);
    kernel->modules = *version ? path_if_there(directory, modules) : NULL;
    json_decref(info);
    return 1;
}

/* A kernel that isn't in the store; its modules are where the host has those of its version. */
static int read_file(const char *path, struct kernel *kernel, struct error *err)
{
    struct kernel_image image;
    scope_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "can't open the kernel %s", path);
    if (kernel_image_read(fd, path, &image, err) < 0)
        return -1;
    char *absolute = realpath(path, NULL);
    if (!absolute)
        return error_set(err, errno, "can't resolve %s", path);
    kernel->name = memory_copy_string(path);
    kernel->source = memory_copy_string(path);
    memcpy(kernel->version, image.version, sizeof kernel->version);
    *(image.format == KERNEL_ELF ? &kernel->vmlinux : &kernel->vmlinuz) = absolute;
    if (*image.version)
        kernel->modules = path_if_there("/lib/modules", image.version);
    scope_free char *config = memory_format("config-%s", image.version);
    kernel->config = path_if_there(BOOT, config);
    return 0;
}

/* The one that runs, or the newest that there is. The caller frees; NULL: there is none. */
static char *choose_host_file(void)
{
    struct utsname host;
    if (uname(&host) == 0) {
        scope_free char *running = memory_format("vmlinuz-%s", host.release);
        char *path = path_if_there(BOOT, running);
        if (path)
            return path;
    }
    scope_closedir DIR *stream = opendir(BOOT);
    scope_free char *newest = NULL;
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, "vmlinuz-", 8) == 0 &&
            (!newest || strverscmp(entry->d_name, newest) > 0)) {
            free(newest);
            newest = memory_copy_string(entry->d_name);
        }
    return newest ? memory_format(BOOT "/%s", newest) : NULL;
}

/* Usable is a kernel for this processor that has its modules: distributions' have the guest's disks
 * among those. */
static int find_host(struct kernel *kernel, struct error *err)
{
    scope_free char *path = choose_host_file();
    if (!path)
        return error_set(err, 0, "there is no kernel in " BOOT " ('hull kernel pull' gets one)");
    if (read_file(path, kernel, err) < 0)
        return -1;
    if (!kernel->modules) {
        error_set(err, 0, "%s has no modules in /lib/modules/%s ('hull kernel pull' gets a kernel)",
                  path, kernel->version);
        kernel_release(kernel);
        return -1;
    }
    free(kernel->name);
    kernel->name = memory_copy_string(KERNEL_HOST);
    return 0;
}

static int find_stored(const char *root, const char *name, struct kernel *kernel, struct error *err)
{
    char chosen[KERNEL_NAME_MAX + 1] = "";
    scope_close int store = kernel_open_store(root, err);
    if (store < 0)
        return -1;
    bool has_default = kernel_read_default(store, chosen);
    if (!name && !has_default)
        return 0;
    if (name && kernel_check_name(name, err) < 0)
        return -1;
    int found = read_stored(root, store, name ? name : chosen, kernel, err);
    kernel->is_default = found == 1 && strcmp(kernel->name, chosen) == 0;
    return found;
}

int kernel_find(const char *root, const char *name, struct kernel *kernel, struct error *err)
{
    *kernel = (struct kernel){0};
    if (name && strchr(name, '/'))
        return read_file(name, kernel, err);
    if (name && strcmp(name, KERNEL_HOST) == 0)
        return find_host(kernel, err);
    int found = find_stored(root, name, kernel, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (name)
        return error_set(err, 0, "no such kernel: %s ('hull kernel ls' lists them)", name);
    if (find_host(kernel, NULL) == 0) {
        kernel->is_default = true;
        return 0;
    }
    return error_set(err, 0,
                     "there is no kernel for virtual machines ('hull kernel pull' gets the "
                     "distribution's)");
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp(((const struct kernel *)a)->name, ((const struct kernel *)b)->name);
}

static struct kernel *add_place(struct kernel_list *list)
{
    list->kernels = memory_resize(list->kernels, list->count + 1, sizeof *list->kernels);
    list->kernels[list->count] = (struct kernel){0};
    return &list->kernels[list->count];
}

int kernel_list(const char *root, struct kernel_list *list, struct error *err)
{
    char chosen[KERNEL_NAME_MAX + 1] = "";
    *list = (struct kernel_list){0};
    scope_close int store = kernel_open_store(root, err);
    if (store < 0)
        return -1;
    bool has_default = kernel_read_default(store, chosen) &&
                       faccessat(store, chosen, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return error_set(err, errno, "can't read %s/kernels", root);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (kernel_check_name(entry->d_name, NULL) < 0)
            continue;
        struct kernel *kernel = add_place(list);
        int found = read_stored(root, store, entry->d_name, kernel, err);
        if (found < 0) {
            kernel_list_release(list);
            return -1;
        }
        kernel->is_default = found == 1 && has_default && strcmp(kernel->name, chosen) == 0;
        list->count += (size_t)found;
    }
    if (list->count > 0)
        qsort(list->kernels, list->count, sizeof *list->kernels, compare_names);
    if (find_host(add_place(list), NULL) == 0)
        list->kernels[list->count++].is_default = !has_default;
    return 0;
}

/* ---- Changing ---- */

int kernel_use(const char *root, const char *name, struct error *err)
{
    bool host = strcmp(name, KERNEL_HOST) == 0;
    scope_kernel struct kernel kernel = {0};
    if (host ? find_host(&kernel, err) < 0 : kernel_check_name(name, err) < 0)
        return -1;
    scope_close int store = kernel_open_store(root, err);
    scope_close int lock = store < 0 ? -1 : kernel_lock_store(store, err);
    if (lock < 0)
        return -1;
    if (host && unlinkat(store, KERNEL_DEFAULT, 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't make the host's kernel the default");
    if (host)
        return 0;
    int found = read_stored(root, store, name, &kernel, err);
    if (found <= 0)
        return found < 0
                   ? -1
                   : error_set(err, 0, "no such kernel: %s ('hull kernel ls' lists them)", name);
    return kernel_write_default(store, name, err);
}

/* Under a name that is nobody's, so that a kernel is never there in part; whoever is killed here
 * leaves what the next to begin removes. */
int kernel_remove(const char *root, const char *name, struct error *err)
{
    char chosen[KERNEL_NAME_MAX + 1], trash[32];
    if (strcmp(name, KERNEL_HOST) == 0)
        return error_set(err, 0, "the host's own kernel isn't hull's to remove");
    if (kernel_check_name(name, err) < 0)
        return -1;
    scope_close int store = kernel_open_store(root, err);
    scope_close int lock = store < 0 ? -1 : kernel_lock_store(store, err);
    if (lock < 0)
        return -1;
    snprintf(trash, sizeof trash, ".new-rm-%d", (int)getpid());
    if (remove_tree(store, trash, NULL, err) < 0)
        return -1;
    if (kernel_read_default(store, chosen) && strcmp(chosen, name) == 0 &&
        unlinkat(store, KERNEL_DEFAULT, 0) < 0)
        return error_set(err, errno, "can't remove kernel %s", name);
    if (renameat(store, name, store, trash) < 0)
        return errno == ENOENT ? error_set(err, 0, "no such kernel: %s", name)
                               : error_set(err, errno, "can't remove kernel %s", name);
    return remove_tree(store, trash, NULL, err);
}
