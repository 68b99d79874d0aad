/* The image that is there without a network: docker.io/library/busybox:latest of the machine's own
 * statically linked busybox. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "image/compose.h"

#define LIST_LIMIT (256u << 10)
#define PATH_VARIABLE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

static const char *const programs[] = {"/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static",
                                       "/usr/bin/busybox.static"};

static const struct {
    const char *path;
    mode_t mode;
} directories[] = {
    {"bin", 0755},           {"dev", 0755},
    {"etc", 0755},           {"home", 0755},
    {"proc", 0755},          {"root", 0700},
    {"sbin", 0755},          {"sys", 0755},
    {"tmp", 01777},          {"usr", 0755},
    {"usr/bin", 0755},       {"usr/local", 0755},
    {"usr/local/bin", 0755}, {"usr/local/sbin", 0755},
    {"usr/sbin", 0755},      {"var", 0755},
    {"var/spool", 0755},     {"var/spool/mail", 0755},
    {"var/www", 0755},
};

static const struct {
    const char *path, *text;
    mode_t mode;
} files[] = {
    {"etc/passwd",
     "root:x:0:0:root:/root:/bin/sh\n"
     "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
     "bin:x:2:2:bin:/bin:/bin/false\n"
     "sys:x:3:3:sys:/dev:/bin/false\n"
     "mail:x:8:8:mail:/var/spool/mail:/bin/false\n"
     "www-data:x:33:33:www-data:/var/www:/bin/false\n"
     "operator:x:37:37:Operator:/var:/bin/false\n"
     "nobody:x:65534:65534:nobody:/home:/bin/false\n",
     0644},
    {"etc/group",
     "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n"
     "kmem:x:9:\nwheel:x:10:root\nwww-data:x:33:\nutmp:x:43:\nstaff:x:50:\nnogroup:x:65534:\n",
     0644},
    {"etc/shadow", "root:*:::::::\nnobody:*:::::::\n", 0600},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0644},
};

bool image_is_default(const struct reference *reference)
{
    return strcmp(reference->domain, REFERENCE_DEFAULT_DOMAIN) == 0 &&
           strcmp(reference->path, "library/busybox") == 0 && !*reference->digest &&
           (!*reference->tag || strcmp(reference->tag, "latest") == 0);
}

/* Whether it needs no dynamic loader: a container of it has none. */
static bool is_static(int fd)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64)
        return false;
    for (unsigned int i = 0; i < header.e_phnum; i++) {
        off_t offset = (off_t)(header.e_phoff + i * sizeof segment);
        if (pread(fd, &segment, sizeof segment, offset) != (ssize_t)sizeof segment ||
            segment.p_type == PT_INTERP)
            return false;
    }
    return true;
}

static int open_program(const char **path)
{
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        scope_close int fd = open(programs[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && is_static(fd)) {
            *path = programs[i];
            return scope_take_fd(&fd);
        }
    }
    return -1;
}

/* What "busybox --list-full" prints: "bin/ls", a line each. The caller frees. */
static char *list_applets(const char *program, struct error *err)
{
    scope_close int out = -1;
    int ends[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    char *const arguments[] = {"busybox", "--list-full", NULL};
    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set(err, errno, "can't run %s", program);
        return NULL;
    }
    out = ends[0];
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int code = posix_spawn(&child, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (code) {
        error_set(err, code, "can't run %s", program);
        return NULL;
    }
    char *list = file_read_all_fd(out, "the list of applets", LIST_LIMIT, NULL, err);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (list && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        error_set(err, 0, "%s --list-full failed", program);
        free(list);
        return NULL;
    }
    return list;
}

/* The tree gets the program's time, so that it depends on nothing else. */
struct tree {
    int root;
    struct timespec times[2];
};

static int set_time(const struct tree *tree, const char *path)
{
    return utimensat(tree->root, path, tree->times, AT_SYMLINK_NOFOLLOW);
}

static int make_file(const struct tree *tree, const char *path, const char *text, mode_t mode,
                     struct error *err)
{
    scope_close int fd = openat(tree->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0 ||
        set_time(tree, path) < 0)
        return error_set(err, errno, "can't make %s", path);
    return 0;
}

static int copy_program(const struct tree *tree, int program, off_t size, struct error *err)
{
    scope_close int fd =
        openat(tree->root, "bin/busybox", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    off_t offset = 0;
    while (fd >= 0 && offset < size)
        if (sendfile(fd, program, &offset, (size_t)(size - offset)) <= 0)
            return error_set(err, errno, "can't copy busybox");
    if (fd < 0 || fchmod(fd, 0755) < 0 || set_time(tree, "bin/busybox") < 0)
        return error_set(err, errno, "can't copy busybox");
    return 0;
}

static int make_applets(const struct tree *tree, char *list, struct error *err)
{
    for (char *applet; (applet = strsep(&list, "\n"));) {
        /* "linuxrc" lies in the root, and is for an initial ramdisk. */
        const char *slash = strrchr(applet, '/');
        if (!slash || strcmp(slash, "/busybox") == 0 || strstr(applet, ".."))
            continue;
        const char *target = strncmp(applet, "bin/", 4) == 0 ? "busybox" : "/bin/busybox";
        if (symlinkat(target, tree->root, applet) < 0 && errno != EEXIST)
            return error_set(err, errno, "can't make %s", applet);
        if (set_time(tree, applet) < 0)
            return error_set(err, errno, "can't make %s", applet);
    }
    return 0;
}

static int fill_tree(const struct tree *tree, const char *path, int program, off_t size,
                     struct error *err)
{
    const size_t count = sizeof directories / sizeof *directories;
    scope_free char *applets = list_applets(path, err);
    if (!applets)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (mkdirat(tree->root, directories[i].path, 0700) < 0 ||
            fchmodat(tree->root, directories[i].path, directories[i].mode, 0) < 0)
            return error_set(err, errno, "can't make %s", directories[i].path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (make_file(tree, files[i].path, files[i].text, files[i].mode, err) < 0)
            return -1;
    if (copy_program(tree, program, size, err) < 0 || make_applets(tree, applets, err) < 0)
        return -1;
    for (size_t i = count; i-- > 0;)
        if (set_time(tree, directories[i].path) < 0)
            return error_set(err, errno, "can't make %s", directories[i].path);
    if (fchmod(tree->root, 0755) < 0 || futimens(tree->root, tree->times) < 0)
        return error_set(err, errno, "can't make the image's root");
    return 0;
}

static int make_image(struct image_store *store, struct image_lease *lease, int root,
                      int64_t created, struct image *image, struct error *err)
{
    char diff_id[IMAGE_DIGEST_SIZE], time[32];
    struct compose_tar *tar;
    const struct archive_tree_options options = {.root_owned = true};
    struct platform host;
    struct reference reference;
    json_t *layer;
    if (compose_tar_begin(store, lease, false, NULL, &tar, err) < 0)
        return -1;
    if (archive_write_tree(root, "", &options, compose_tar_take, tar, err) < 0) {
        compose_tar_abort(tar);
        return -1;
    }
    if (compose_tar_commit(tar, NULL, 0, diff_id, &layer, err) < 0)
        return -1;
    platform_host(&host);
    store_format_time(created, time);
    json_t *layers = json_pack("[o]", layer);
    json_t *config =
        json_pack("{s:s, s:s, s:s, s:{s:[s], s:[s]}, s:{s:s, s:[s]}, s:[{s:s, s:s}]}",
                  "architecture", host.architecture, "os", host.os, "created", time, "config",
                  "Cmd", "sh", "Env", PATH_VARIABLE, "rootfs", "type", "layers", "diff_ids",
                  diff_id, "history", "created", time, "created_by", "busybox of this machine");
    reference_parse("busybox:latest", &reference, NULL);
    int status = compose_image(store, lease, config, layers, &reference, image, err);
    json_decref(config);
    json_decref(layers);
    return status;
}

/* Of many commands that need it at the same time, one makes it and the others wait for that. The
 * lock is none that somebody asks for who holds the store's: its holder takes that one. */
static int lock_making(const struct image_store *store, struct error *err)
{
    scope_close int fd = openat(store->fd, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || file_lock(fd, LOCK_EX) < 0)
        return error_set(err, errno, "can't lock the image store");
    return scope_take_fd(&fd);
}

int image_make_default(struct image_store *store, struct image *image, struct error *err)
{
    const char *path;
    struct stat status;
    scope_close int program = open_program(&path);
    if (program < 0)
        return 0;
    scope_close int lock = lock_making(store, err);
    int found = lock < 0 ? -1 : image_find(store, "busybox:latest", image, err);
    if (found != 0)
        return found;
    scope_image_lease struct image_lease *lease = NULL;
    if (fstat(program, &status) < 0 || image_lease_begin(store, &lease, err) < 0)
        return error_wrap(err, "can't make the busybox image");
    char place[64];
    snprintf(place, sizeof place, "unpack/%s.%u", lease->name, lease->serial++);
    if (mkdirat(store->fd, place, 0700) < 0)
        return error_set(err, errno, "can't make the busybox image");
    struct tree tree = {.root = openat(store->fd, place, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                        .times = {{.tv_sec = status.st_mtime}, {.tv_sec = status.st_mtime}}};
    int result = fill_tree(&tree, path, program, status.st_size, err);
    if (result == 0)
        result = make_image(store, lease, tree.root, status.st_mtime, image, err);
    close(tree.root);
    remove_tree(store->fd, place, NULL, NULL);
    return result < 0 ? error_wrap(err, "can't make the busybox image") : 1;
}
