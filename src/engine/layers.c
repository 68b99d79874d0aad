/* A container's root file system: an overlay of its own upper directory over the image's layers.
 * For a running container the monitor has mounted it; here it is mounted for who wants to look
 * into a stopped one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "engine/machine.h"
#include "engine/settings_internal.h"
#include "engine/start.h"
#include "monitor/overlay.h"

int engine_layers_find(struct engine *engine, const struct engine_container *container,
                       struct engine_layers *layers, struct error *err)
{
    scope_image struct image image = {0};
    struct image_store *store = engine_images(engine, err);
    *layers = (struct engine_layers){0};
    int found =
        store ? image_find_held(store, container->id, container->image_id, &image, err) : -1;
    if (found == 0)
        return error_set(err, 0, "the image of container %s is gone (%s)", container->name,
                         container->image_id);
    if (found < 0 || image_layers(store, &image, &layers->image, err) < 0)
        return -1;
    layers->count = layers->image.count + 1;
    layers->directories = memory_allocate(layers->count + 1, sizeof *layers->directories);
    layers->directories[0] = memory_format("%s/upper", container->directory);
    for (size_t i = 0; i < layers->image.count; i++)
        layers->directories[i + 1] = layers->image.directories[i];
    return engine_skeleton_make(engine, &layers->directories[layers->count], err);
}

void engine_layers_release(struct engine_layers *layers)
{
    if (layers->directories) {
        free((char *)(uintptr_t)layers->directories[0]);
        free((char *)(uintptr_t)layers->directories[layers->count]);
    }
    free(layers->directories);
    image_layers_release(&layers->image);
    *layers = (struct engine_layers){0};
}

void engine_overlay_describe(const struct engine_container *container,
                             const struct engine_layers *layers, struct arena *arena,
                             struct monitor_overlay *overlay)
{
    *overlay = (struct monitor_overlay){
        .target = arena_format(arena, "%s/rootfs", container->directory),
        .upper = layers->directories[0],
        .work = arena_format(arena, "%s/work", container->directory),
        .userxattr = layers->image.user_xattrs,
        /* Whatever the kernel's default is: a directory that was renamed, or a file whose owner was
         * changed, is to be in the upper directory as a whole, for `diff` and `commit`. */
        .options = layers->image.user_xattrs ? NULL : "redirect_dir=off,metacopy=off",
        .lower = {.items = layers->directories + 1, .count = layers->count},
    };
}

/* ---- What every root has ---- */

static int fill_skeleton(int directory)
{
    static const char *const directories[] = {"dev", "etc", "proc", "sys"};
    static const char *const files[] = {"etc/hostname", "etc/hosts", "etc/resolv.conf"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (mkdirat(directory, directories[i], 0755) < 0)
            return -1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        scope_close int fd =
            openat(directory, files[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            return -1;
    }
    return fchmod(directory, 0755);
}

int engine_skeleton_make(struct engine *engine, const char **path, struct error *err)
{
    *path = memory_format("%s/skeleton", engine->containers);
    if (access(*path, F_OK) == 0)
        return 0;
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return error_set(err, errno, "can't get random numbers");
    scope_free char *draft =
        memory_format("%s/" ENGINE_DRAFT_PREFIX "skeleton.%llx", engine->containers, number);
    scope_close int directory = engine_draft_make(draft, err);
    if (directory < 0)
        return -1;
    if (fill_skeleton(directory) == 0 && rename(draft, *path) == 0)
        return 0;
    int reason = errno;
    remove_tree(AT_FDCWD, draft, NULL, NULL);
    /* Another command has made it meanwhile. */
    return access(*path, F_OK) == 0 ? 0 : error_set(err, reason, "can't make %s", *path);
}

/* ---- Looking into it ---- */

/* Sends a descriptor, or an error's text, to the parent. */
static void send_result(int channel, int fd, const struct error *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {(void *)(uintptr_t)err, sizeof *err};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    sendmsg(channel, &message, MSG_NOSIGNAL);
}

static int receive_result(int channel, struct error *err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct error told = {0};
    struct iovec data = {&told, sizeof told};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.space};
    ssize_t count;
    do
        count = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (count == sizeof told && header && header->cmsg_type == SCM_RIGHTS) {
        int fd;
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        return fd;
    }
    if (count != sizeof told)
        return error_set(err, 0, "the process that mounts the container's root was killed");
    return error_set(err, told.code, "%s", told.text), -1;
}

/* Volumes and binds, over the root. One whose target isn't there (the container was never started)
 * is left out. */
static int bind_mounts(int root, const json_t *mounts, struct error *err)
{
    const json_t *item;
    size_t i;
    json_array_foreach(mounts, i, item)
    {
        char target[64];
        const char *source = settings_text(item, "Source");
        if (strcmp(settings_text(item, "Type"), "tmpfs") == 0)
            continue;
        scope_close int at =
            file_open_resolved(root, settings_text(item, "Target"), O_PATH, 0, RESOLVE_IN_ROOT);
        if (at < 0)
            continue;
        snprintf(target, sizeof target, "/proc/self/fd/%d", at);
        if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
            return error_set(err, errno, "can't bind %.256s", source);
    }
    return 0;
}

struct root_mounts {
    const struct monitor_overlay *overlay;
    const json_t *mounts; /* or NULL */
};

static int mount_root(const void *context, struct error *err)
{
    const struct root_mounts *wanted = context;
    const struct monitor_overlay *overlay = wanted->overlay;
    scope_close int host = overlay_leave_host(NULL, err);
    if (host < 0 || overlay_mount(overlay, err) < 0)
        return -1;
    scope_close int root = open(overlay->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set(err, errno, "can't open %s", overlay->target);
    if (bind_mounts(root, wanted->mounts, err) < 0)
        return -1;
    /* A copy of the mounts that belongs to no namespace: they live as long as the descriptor. */
    int fd = (int)syscall(SYS_open_tree, root, "",
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    return fd >= 0 ? fd : error_set(err, errno, "can't take the container's root along");
}

/* Opens something in a process of its own, whose mount namespace ends with it. */
static int open_apart(int (*open_it)(const void *context, struct error *err), const void *context,
                      struct error *err)
{
    int ends[2], status;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "can't make a socket");
    pid_t pid = fork();
    if (pid == 0) {
        struct error failure = {0};
        close(ends[0]);
        int fd = open_it(context, &failure);
        send_result(ends[1], fd, &failure);
        _exit(0);
    }
    close(ends[1]);
    int fd = pid < 0 ? error_set(err, errno, "can't make a process") : receive_result(ends[0], err);
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return fd;
}

static int open_overlay(const struct monitor_overlay *overlay, const json_t *mounts,
                        struct error *err)
{
    const struct root_mounts wanted = {overlay, mounts};
    return open_apart(mount_root, &wanted, err);
}

/* One layer or more, the topmost first. Without an upper directory overlayfs wants at least two: an
 * empty one is the second. */
static void make_read_only(const struct engine_container *container, const char **directories,
                           size_t count, struct arena *arena, struct monitor_overlay *overlay)
{
    overlay->upper = overlay->work = NULL;
    overlay->lower = (struct monitor_strings){directories, count};
    if (count >= 2)
        return;
    const char **both = arena_allocate(arena, 2, sizeof *both);
    both[0] = directories[0];
    both[1] = arena_format(arena, "%s/rootfs", container->directory);
    overlay->lower = (struct monitor_strings){both, 2};
}

int engine_open_image_root(const struct engine_container *container,
                           const struct engine_layers *layers, struct error *err)
{
    struct arena arena = {0};
    struct monitor_overlay overlay;
    engine_overlay_describe(container, layers, &arena, &overlay);
    make_read_only(container, layers->directories + 1, layers->count, &arena, &overlay);
    int fd = open_overlay(&overlay, NULL, err);
    arena_release(&arena);
    return fd;
}

/* A root that can't be written to has the container's own changes as its topmost lower layer. */
static int open_stopped(struct engine *engine, const struct engine_container *container,
                        bool with_mounts, bool writable, struct error *err)
{
    struct arena arena = {0};
    struct monitor_overlay overlay;
    scope_engine_layers struct engine_layers layers;
    if (engine_layers_find(engine, container, &layers, err) < 0)
        return -1;
    json_t *mounts = with_mounts ? engine_mounts_prepare(engine, container, &layers, err) : NULL;
    if (with_mounts && !mounts)
        return -1;
    engine_overlay_describe(container, &layers, &arena, &overlay);
    if (!writable)
        make_read_only(container, layers.directories, layers.count + 1, &arena, &overlay);
    int fd = open_overlay(&overlay, mounts, err);
    arena_release(&arena);
    json_decref(mounts);
    return fd;
}

/* Of the first process, or 0: it doesn't run. -1: failed. */
static pid_t find_process(struct engine *engine, const struct engine_container *container,
                          struct error *err)
{
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    pid_t pid = engine_is_up(&status) ? status.pid : 0;
    monitor_status_release(&status);
    return pid > 0 ? pid : 0;
}

static int open_process_root(pid_t pid, struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, errno, "can't open the container's root");
}

void engine_root_release(struct engine_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    if (root->user_namespace >= 0)
        close(root->user_namespace);
    *root = (struct engine_root){-1, -1};
}

/* 1: it runs, and *pid is its first process's; 0: it doesn't; -1: failed. */
static int begin_root(struct engine *engine, const struct engine_container *container,
                      struct engine_root *root, pid_t *pid, struct error *err)
{
    *root = (struct engine_root){-1, -1};
    *pid = find_process(engine, container, err);
    if (*pid <= 0)
        return *pid;
    /* Seen from the host, its owners are those of its user namespace. */
    return engine_userns_open(container, &root->user_namespace, err) < 0 ? -1 : 1;
}

int engine_open_root(struct engine *engine, const struct engine_container *container, bool writable,
                     struct engine_root *root, struct error *err)
{
    pid_t pid;
    *root = (struct engine_root){-1, -1};
    if (engine_machine_refuse(container, "the host", err) < 0)
        return -1;
    int runs = begin_root(engine, container, root, &pid, err);
    if (runs >= 0)
        root->fd = runs ? open_process_root(pid, err)
                        : open_stopped(engine, container, true, writable, err);
    return root->fd < 0 ? -1 : 0;
}

/* Only in the mount namespace that a mount is in may it be cloned. Without AT_RECURSIVE what is
 * mounted on it stays behind. */
static int clone_process_root(const void *context, struct error *err)
{
    const pid_t *pid = context;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)*pid);
    scope_close int root = open_process_root(*pid, err);
    scope_close int namespace = root < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (root < 0)
        return -1;
    if (namespace < 0 || setns(namespace, CLONE_NEWNS) < 0)
        return error_set(err, errno, "can't join the container's mount namespace");
    int fd =
        (int)syscall(SYS_open_tree, root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return fd >= 0 ? fd : error_set(err, errno, "can't take the container's root along");
}

int engine_open_own_root(struct engine *engine, const struct engine_container *container,
                         struct engine_root *root, struct error *err)
{
    pid_t pid;
    *root = (struct engine_root){-1, -1};
    if (engine_machine_refuse(container, "export", err) < 0)
        return -1;
    int runs = begin_root(engine, container, root, &pid, err);
    if (runs >= 0)
        root->fd = runs ? open_apart(clone_process_root, &pid, err)
                        : open_stopped(engine, container, false, false, err);
    return root->fd < 0 ? -1 : 0;
}
