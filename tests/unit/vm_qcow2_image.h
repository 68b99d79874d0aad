/* Images for tests, made and checked by qemu-img and qemu-io. */
#ifndef HULL_TESTS_VM_QCOW2_IMAGE_H
#define HULL_TESTS_VM_QCOW2_IMAGE_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/device/qcow2.h"

static char image_directory[64];

/* Runs a command in the directory of the test's images; its exit status. */
__attribute__((format(printf, 1, 2))) static inline int image_run(const char *format, ...)
{
    char command[1200], text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(command, sizeof command, "cd %s && { %s; } >output 2>&1", image_directory, text);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define image_must(...) assert_int_equal(image_run(__VA_ARGS__), 0)

/* As cmocka wants what sets a test up, and what takes it down. */
static inline int image_make_directory(void **state)
{
    (void)state;
    snprintf(image_directory, sizeof image_directory, "/tmp/hull-qcow2-XXXXXX");
    assert_non_null(mkdtemp(image_directory));
    return 0;
}

static inline int image_remove_directory(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", image_directory);
    assert_int_equal(system(command), 0);
    return 0;
}

static inline bool image_has_tools(void)
{
    return system("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null") == 0;
}

static inline int image_try_open(struct qcow2 **image, const char *name, bool read_only,
                                 enum disk_backing backing, struct error *err)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", image_directory, name);
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    assert_true(fd >= 0);
    return qcow2_open(image, fd, path,
                      &(struct disk_settings){.read_only = read_only, .backing = backing}, err);
}

static inline struct qcow2 *image_open(const char *name, bool read_only)
{
    struct error err = {0};
    struct qcow2 *image;
    if (image_try_open(&image, name, read_only, DISK_BACKING_BENEATH, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

static inline void image_read(struct qcow2 *image, uint64_t offset, void *bytes, size_t size)
{
    assert_int_equal(qcow2_read(image, &(struct iovec){bytes, size}, 1, offset, size), 0);
}

static inline void image_write(struct qcow2 *image, uint64_t offset, const void *bytes, size_t size)
{
    assert_int_equal(
        qcow2_write(image, &(struct iovec){(void *)(uintptr_t)bytes, size}, 1, offset, size), 0);
}

/* Writes bytes into a file. */
static inline void image_patch(const char *name, uint64_t offset, const void *bytes, size_t size)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", image_directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
    close(fd);
}

static inline void image_patch_number(const char *name, uint64_t offset, uint64_t value,
                                      unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    image_patch(name, offset, bytes, size);
}

static inline uint64_t image_get_number(const char *name, uint64_t offset, unsigned size)
{
    char path[200];
    uint8_t bytes[8];
    uint64_t value = 0;
    snprintf(path, sizeof path, "%s/%s", image_directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, size, (off_t)offset), size);
    close(fd);
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* qemu-img finds no error, and no leak either unless those are allowed. */
static inline void image_check(const char *name, bool leaks_allowed)
{
    int status = image_run("qemu-img check -f qcow2 %s", name);
    if (status != 0 && !(leaks_allowed && status == 3)) {
        assert_int_equal(image_run("qemu-img check -f qcow2 %s >&2", name), 0);
    }
}

#endif
