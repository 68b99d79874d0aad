/* vm/device/fs_session: whatever FUSE requests a guest makes, nothing outside the shared directory
 * changes, and answers stay within the guest's room. */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/device/fs_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 16384
#define GUARD 64

static char outside[64];
static int root = -1, proc = -1;

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag;
    return walk->level > 1 ? remove(path) : 0; /* not the directory itself, nor the one above */
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", outside, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        abort();
    close(fd);
}

static void remove_all(void)
{
    char path[128];
    nftw(outside, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(path, sizeof path, "%s/shared", outside);
    rmdir(path);
    snprintf(path, sizeof path, "%s/secret", outside);
    unlink(path);
    rmdir(outside);
}

/* On a tmpfs if there is one; with files that can't grow much. */
static void prepare(void)
{
    char path[128];
    struct rlimit limit = {1 << 16, 1 << 16};
    snprintf(outside, sizeof outside, "%s/hull-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(outside))
        abort();
    atexit(remove_all);
    snprintf(path, sizeof path, "%s/shared", outside);
    mkdir(path, 0755);
    put("secret", "secret");
    root = open(path, O_PATH | O_DIRECTORY);
    proc = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || root < 0 || proc < 0)
        abort();
}

static void fill_directory(void)
{
    put("shared/file", "0123456789");
    put("shared/other", "");
    if (mkdirat(root, "directory", 0755) < 0 || symlinkat("../secret", root, "link") < 0 ||
        symlinkat("..", root, "up") < 0)
        return; /* what the last round left */
}

static void check_outside(void)
{
    char path[128], text[16] = "";
    struct stat status;
    snprintf(path, sizeof path, "%s/secret", outside);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text) != 6 || memcmp(text, "secret", 6) != 0 ||
        fstat(fd, &status) < 0 || status.st_mode != (S_IFREG | 0644) || status.st_nlink != 1)
        abort();
    close(fd);
    if (stat(outside, &status) < 0 || status.st_nlink != 3)
        abort();
}

/* Requests that hold the machine up, or leave what can't be removed. */
static bool is_left_out(uint32_t opcode)
{
    return opcode == FUSE_SYNCFS || opcode == FUSE_FSYNC || opcode == FUSE_FSYNCDIR ||
           opcode == FUSE_SETXATTR;
}

static void serve(struct fs_session *session, const uint8_t *bytes, size_t size, size_t room)
{
    static uint8_t answer[ROOM + GUARD];
    static struct virtqueue_chain chain;
    uint8_t *copy = malloc(size ? size : 1);
    size_t half = size / 2;
    memcpy(copy, bytes, size);
    memset(answer + room, 0x5a, GUARD);
    /* In two parts each, so that borders lie anywhere. */
    chain.parts[0] = (struct iovec){copy, half};
    chain.parts[1] = (struct iovec){copy + half, size - half};
    chain.parts[2] = (struct iovec){answer, room / 3};
    chain.parts[3] = (struct iovec){answer + room / 3, room - room / 3};
    chain.readable = chain.parts;
    chain.writable = chain.parts + 2;
    chain.readable_count = chain.writable_count = 2;
    chain.readable_size = size;
    chain.writable_size = room;
    uint32_t written = fs_session_serve(session, &chain);
    if (written > room)
        abort();
    for (size_t i = 0; i < GUARD; i++) {
        if (answer[room + i] != 0x5a)
            abort();
    }
    free(copy);
}

static void greet(struct fs_session *session)
{
    struct {
        struct fuse_in_header header;
        struct fuse_init_in in;
    } packet = {{.len = sizeof packet, .opcode = FUSE_INIT},
                {.major = 7, .minor = 38, .flags = ~0u}};
    serve(session, (const uint8_t *)&packet, sizeof packet, 256);
}

/* Input: of each request its opcode, its node (of those that there are likely to be), the room for
 * an answer, how many bytes follow, and these. Handles are small numbers anyway. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (root < 0)
        prepare();
    fill_directory();
    struct fs_session *session = fs_session_create(root, proc, VIRTIO_FS_CACHE_AUTO, 64);
    greet(session);
    for (unsigned i = 0; i < 32 && size >= 4; i++) {
        uint8_t packet[sizeof(struct fuse_in_header) + 255];
        size_t length = data[3] < size - 4 ? data[3] : size - 4;
        struct fuse_in_header header = {.len = (uint32_t)(sizeof header + length),
                                        .opcode = data[0],
                                        .unique = i,
                                        .nodeid = data[1],
                                        .uid = data[1] >> 4};
        size_t room = data[2] & 0x80 ? (data[2] & 0x7f) * 128u : data[2];
        memcpy(packet, &header, sizeof header);
        memcpy(packet + sizeof header, data + 4, length);
        if (!is_left_out(header.opcode))
            serve(session, packet, sizeof header + length, room);
        data += 4 + length;
        size -= 4 + length;
    }
    serve(session, data, size, 64); /* and the rest as it is */
    fs_session_release(session);
    check_outside();
    nftw(outside, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
