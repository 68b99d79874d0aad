/* A directory of its own for each case, and in it a place to extract to and an image store. */
#ifndef HULL_TESTS_UNIT_IMAGE_FIXTURE_H
#define HULL_TESTS_UNIT_IMAGE_FIXTURE_H

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
#include "base/remove_tree.h"
#include "base/scope.h"
#include "image/archive.h"
#include "image/store.h"
#include "image_tar.h"

static struct {
    char directory[4096];
    int fd;   /* of it */
    int root; /* what is extracted to: "root" below it */
    struct image_store *store;
    struct archive_extract_result result;
    struct error err;
    char warnings[4096];
} fixture;

static inline void fixture_note_warning(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    size_t used = strlen(fixture.warnings);
    snprintf(fixture.warnings + used, sizeof fixture.warnings - used, "%s\n", text);
}
static const struct warnings fixture_warnings = {.say = fixture_note_warning};

static inline int fixture_make(void **state)
{
    (void)state;
    scope_free char *here = getcwd(NULL, 0);
    fixture.err = (struct error){0};
    fixture.warnings[0] = '\0';
    snprintf(fixture.directory, sizeof fixture.directory, "%s/image-XXXXXX", here);
    if (!mkdtemp(fixture.directory))
        return -1;
    fixture.fd = open(fixture.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdirat(fixture.fd, "root", 0755) < 0)
        return -1;
    fixture.root = openat(fixture.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fixture.root < 0 ? -1 : 0;
}

static inline int fixture_remove(void **state)
{
    (void)state;
    image_store_close(fixture.store);
    fixture.store = NULL;
    archive_extract_result_release(&fixture.result);
    close(fixture.root);
    close(fixture.fd);
    return remove_tree(AT_FDCWD, fixture.directory, NULL, NULL);
}

/* The store opens again as by another process. */
static inline struct image_store *fixture_open_store(void)
{
    scope_free char *path = memory_format("%s/images", fixture.directory);
    image_store_close(fixture.store);
    fixture.store = NULL;
    if (image_store_open(&fixture.store, path, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    image_store_set_warnings(fixture.store, &fixture_warnings);
    return fixture.store;
}

static inline int fixture_make_store(void **state)
{
    int status = fixture_make(state);
    if (status == 0)
        fixture_open_store();
    return status;
}

/* All of one piece, or in pieces as small as a test wants. */
struct fixture_source {
    const struct tar *tar;
    size_t used, piece;
};

static inline ssize_t fixture_next(void *context, const void **bytes, struct error *err)
{
    struct fixture_source *source = context;
    size_t left = source->tar->length - source->used;
    size_t count = source->piece && source->piece < left ? source->piece : left;
    (void)err;
    *bytes = source->tar->bytes + source->used;
    source->used += count;
    return (ssize_t)count;
}

/* Extracts as a layer (or not) below root. */
static inline int fixture_extract_with(const struct tar *tar,
                                       const struct archive_extract_options *options)
{
    struct fixture_source source = {.tar = tar};
    archive_extract_result_release(&fixture.result);
    fixture.err = (struct error){0};
    return archive_extract(fixture.root, fixture_next, &source, options, &fixture.result,
                           &fixture.err);
}

static inline int fixture_extract(const struct tar *tar)
{
    static const struct archive_extract_options options = {
        .layer = true, .owners = true, .warnings = &fixture_warnings};
    return fixture_extract_with(tar, &options);
}

static inline void fixture_assert_error(const char *part)
{
    if (!strstr(fixture.err.text, part))
        fail_msg("\"%s\" isn't in the error \"%s\"", part, fixture.err.text);
}

/* What is at a path below root. */
static inline struct stat fixture_stat(const char *path)
{
    struct stat status;
    if (fstatat(fixture.root, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return status;
}

static inline bool fixture_exists(const char *path)
{
    return faccessat(fixture.root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void fixture_assert_text(const char *path, const char *text)
{
    scope_free char *found = file_read_all(fixture.root, path, 1 << 20, NULL, &fixture.err);
    if (!found)
        fail_msg("%s", fixture.err.text);
    assert_string_equal(found, text);
}

static inline void fixture_write(const char *path, const char *text)
{
    scope_close int fd = openat(fixture.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && file_write_all(fd, text, strlen(text)) == 0);
}

/* Imports a tar with one file of that text, under a name (or none). Returns the id. */
static inline const char *fixture_make_image(const char *name, const char *text)
{
    static char ids[8][IMAGE_DIGEST_SIZE];
    static unsigned int used;
    scope_tar struct tar tar = {0};
    struct reference reference;
    scope_image struct image image = {0};
    TAR_ADD(&tar, "etc/", .type = '5', .mode = 0711, .uid = 7, .mtime = 1000);
    TAR_ADD(&tar, "etc/text", .data = text);
    tar_end(&tar);
    struct image_import import = {.comment = "made"};
    if (name) {
        assert_int_equal(reference_parse(name, &reference, &fixture.err), 0);
        reference_default_tag(&reference);
        import.reference = &reference;
    }
    scope_close int fd = openat(fixture.fd, "tar", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(file_write_all(fd, tar.bytes, tar.length), 0);
    lseek(fd, 0, SEEK_SET);
    if (image_import(fixture.store, fd, &import, &image, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    return strcpy(ids[used++ % 8], image.id);
}

#endif
