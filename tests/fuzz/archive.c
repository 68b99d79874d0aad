/* Fuzzes extraction and the reading of archives of images. The first byte chooses: a stream as it
 * is, plain or compressed; a tar made of the input, so that its headers' sums are right and only
 * what they say is hostile; or an archive of images. Nothing beside the root may change. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/store.h"
#include "image_tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    char path[64];
    int fd;
    struct stat secret;
    struct image_store *store;
} place;

/* A macro, so that the line is in what is printed. */
#define promise(kept) ((kept) ? (void)0 : promise_broken(__LINE__))

static void promise_broken(int line)
{
    fprintf(stderr, "the promise in line %d is broken\n", line);
    abort();
}

static void remove_place(void)
{
    image_store_close(place.store);
    remove_tree(AT_FDCWD, place.path, NULL, NULL);
}

static void make_place(void)
{
    if (*place.path)
        return;
    /* Not on a disk: the store waits for that. */
    strcpy(place.path, "/dev/shm/hull-fuzz-XXXXXX");
    promise(mkdtemp(place.path) != NULL);
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int secret = openat(place.fd, "secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    promise(secret >= 0 && file_write_all(secret, "secret", 6) == 0);
    promise(fstat(secret, &place.secret) == 0);
    close(secret);
    scope_free char *images = memory_format("%s/images", place.path);
    struct error err;
    promise(image_store_open(&place.store, images, &err) == 0);
    atexit(remove_place);
}

static void check_place(void)
{
    struct stat now;
    int count = 0;
    promise(fstatat(place.fd, "secret", &now, AT_SYMLINK_NOFOLLOW) == 0);
    promise(now.st_ino == place.secret.st_ino && now.st_mode == place.secret.st_mode &&
            now.st_nlink == 1 && now.st_uid == place.secret.st_uid && now.st_size == 6 &&
            now.st_mtim.tv_nsec == place.secret.st_mtim.tv_nsec &&
            now.st_ctim.tv_nsec == place.secret.st_ctim.tv_nsec);
    scope_closedir DIR *stream = opendir(place.path);
    while (readdir(stream))
        count++;
    promise(count == 5); /* . .. secret images root */
}

static void extract(const char *bytes, size_t size, bool layer)
{
    struct archive_extract_result result = {0};
    struct error err = {0};
    const struct archive_extract_options options = {
        .layer = layer,
        .user_xattrs = geteuid() != 0,
        .owners = geteuid() == 0,
        .limits = {.bytes = 1 << 20, .entries = 300, .ratio = 100},
    };
    promise(mkdirat(place.fd, "root", 0755) == 0);
    scope_close int root = openat(place.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_close int fd = memfd_create("fuzz", MFD_CLOEXEC);
    promise(file_write_all(fd, bytes, size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    if (archive_extract_file(root, fd, &options, &result, &err) < 0)
        promise(err.text[0]);
    promise(result.entries <= 301 && result.bytes <= (2 << 20));
    archive_extract_result_release(&result);
    check_place();
    promise(remove_tree(place.fd, "root", NULL, &err) == 0);
}

static const char *const names[] = {
    "a",
    "b",
    "a/b",
    "a/b/c",
    "../secret",
    "/secret",
    "a/../../secret",
    "..",
    ".",
    "",
    "a/",
    "b/secret",
    "a/b/secret",
    "c/../d",
    ".wh.a",
    "a/.wh.b",
    "a/.wh..wh..opq",
    ".wh..wh..opq",
    ".wh..wh.x",
    ".wh.",
    "secret",
    "/",
    "../..",
    "b/../secret",
    "../root/a",
    "../images/index.json",
    "a/.wh.c",
    "c",
    "/tmp",
    "d/e/f/g/h",
    "a//b/./c",
    ".wh..wh.",
};
static const char types[] = "0012233456671Sx7";

/* Four bytes an entry: name, type, link or contents, mode. */
static void extract_made(const uint8_t *data, size_t size, bool layer)
{
    scope_tar struct tar tar = {0};
    for (size_t i = 0; i + 3 < size && i < 4 * 200; i += 4) {
        const char *other = names[data[i + 2] % (sizeof names / sizeof *names)];
        char type = types[data[i + 1] % (sizeof types - 1)];
        if (type == 'x') {
            static const char *const keys[] = {"path", "linkpath", "SCHILY.xattr.user.x",
                                               "SCHILY.xattr.trusted.overlay.redirect"};
            tar_pax(&tar, keys[data[i + 3] % 4], other);
            continue;
        }
        tar_add(&tar, &(struct tar_entry){.name = names[data[i] % (sizeof names / sizeof *names)],
                                          .type = type,
                                          .link = other,
                                          .mode = (unsigned int)data[i + 3] << 4 | 0400,
                                          .major = data[i + 3] % 2,
                                          .minor = 3,
                                          .data = type == '0' ? other : NULL});
    }
    if (size % 2)
        tar_end(&tar);
    extract(tar.bytes, tar.length, layer);
}

static void print_fault(const char *fault, void *context)
{
    (void)context;
    fprintf(stderr, "%s\n", fault);
}

/* Files of an archive of images, between bytes of 0xff. */
static void load(const uint8_t *data, size_t size)
{
    static const char *const files[] = {"manifest.json", "config.json", "index.json",
                                        "1.tar",         "oci-layout",  "x/layer.tar"};
    scope_tar struct tar tar = {0};
    struct error err = {0};
    const struct image_load_options options = {.limits = {.bytes = 1 << 20}};
    for (size_t file = 0; size > 0 && file < sizeof files / sizeof *files; file++) {
        const uint8_t *end = memchr(data, 0xff, size);
        size_t length = end ? (size_t)(end - data) : size;
        if (length)
            tar_add(&tar, &(struct tar_entry){
                              .name = files[file], .data = (const char *)data, .length = length});
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    TAR_ADD(&tar, "link/layer.tar", .type = '2', .link = "../1.tar");
    tar_end(&tar);
    scope_close int fd = memfd_create("fuzz", MFD_CLOEXEC);
    promise(file_write_all(fd, tar.bytes, tar.length) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    if (image_load(place.store, fd, &options, &err) < 0)
        promise(err.text[0]);
    promise(mkdirat(place.fd, "root", 0755) == 0);
    check_place();
    promise(unlinkat(place.fd, "root", AT_REMOVEDIR) == 0);
    promise(image_store_check(place.store, false, print_fault, NULL, &err) == 0);
    scope_image_removal struct image_removal removal = {0};
    const struct image_prune_options all = {.all = true};
    promise(image_prune(place.store, &all, &removal, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    make_place();
    bool layer = data[0] & 0x80;
    switch (data[0] % 3) {
    case 0:
        extract((const char *)data + 1, size - 1, layer);
        break;
    case 1:
        extract_made(data + 1, size - 1, layer);
        break;
    default:
        load(data + 1, size - 1);
    }
    return 0;
}
