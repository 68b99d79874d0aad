/* Lines of files that are rotated while they are read. */
#include "engine/lines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/remove_tree.h"
#include "base/scope.h"

static char directory[64], path[96]; /* of the test that runs */

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "lines-XXXXXX");
    snprintf(path, sizeof path, "%s/log", mkdtemp(directory) ? directory : "");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return remove_tree(AT_FDCWD, directory, NULL, NULL);
}

static void append(const char *suffix, const char *text, size_t length)
{
    scope_free char *name = memory_format("%s%s", path, suffix);
    FILE *file = fopen(name, "a");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
}

static void append_text(const char *suffix, const char *text)
{
    append(suffix, text, strlen(text));
}

static void write_compressed(const char *suffix, const char *text)
{
    scope_free char *name = memory_format("%s%s", path, suffix);
    gzFile file = gzopen(name, "wb");
    assert_int_equal(gzwrite(file, text, (unsigned int)strlen(text)), strlen(text));
    gzclose(file);
}

static void move(const char *from, const char *to)
{
    scope_free char *old = memory_format("%s%s", path, from);
    scope_free char *new = memory_format("%s%s", path, to);
    assert_int_equal(rename(old, new), 0);
}

/* All lines that are there now, each followed by a slash. */
static char *read_all(struct lines *lines)
{
    char *text = memory_copy_string(""), *line;
    size_t length;
    bool again;
    int result;
    struct error err;
    while ((result = lines_next(lines, &line, &length, &again, &err)) == 1) {
        assert_int_equal(strlen(line), length);
        char *longer = memory_format("%s%s%s/", text, again ? "again:" : "", line);
        free(text);
        text = longer;
    }
    assert_int_equal(result, 0);
    return text;
}

static void expect(struct lines *lines, const char *wanted)
{
    scope_free char *text = read_all(lines);
    assert_string_equal(text, wanted);
}

static struct lines *open_lines(bool follow)
{
    struct lines *lines;
    struct error err;
    assert_int_equal(lines_open(&lines, path, follow, &err), 0);
    return lines;
}

static void reads_the_oldest_first(void **state)
{
    (void)state;
    write_compressed(".3.gz", "a\nb\n");
    append_text(".2", "c\n");
    append_text(".1", "d\nunfinished");
    append_text("", "e\nf\nunfinished");
    scope_lines struct lines *lines = open_lines(false);
    expect(lines, "a/b/c/d/e/f/");
}

static void gives_the_last(void **state)
{
    static const char *const wanted[] = {"",         "f/",         "e/f/",         "d/e/f/",
                                         "c/d/e/f/", "b/c/d/e/f/", "a/b/c/d/e/f/", "a/b/c/d/e/f/"};
    struct error err;
    (void)state;
    write_compressed(".2.gz", "a\nb\nc\n");
    append_text(".1", "d\n");
    append_text("", "e\nf\n");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        scope_lines struct lines *lines = open_lines(false);
        assert_int_equal(lines_skip_to_last(lines, i, &err), 0);
        expect(lines, wanted[i]);
    }
}

static void follows_rotation(void **state)
{
    (void)state;
    scope_lines struct lines *lines = open_lines(true);
    expect(lines, "");
    append_text("", "a\nb");
    expect(lines, "a/");
    append_text("", "c\n");
    expect(lines, "bc/");
    /* Written to still, renamed, and renamed again before we look. */
    append_text("", "d\n");
    move("", ".1");
    append_text("", "e\n");
    move(".1", ".2");
    move("", ".1");
    append_text("", "f\n");
    expect(lines, "d/e/f/");
    move("", ".1");
    expect(lines, "");
    append_text("", "g\n");
    expect(lines, "g/");
}

static void says_when_the_place_is_lost(void **state)
{
    (void)state;
    scope_lines struct lines *lines = open_lines(true);
    append_text("", "a\n");
    expect(lines, "a/");
    scope_free char *name = memory_format("%s", path);
    assert_int_equal(unlink(name), 0);
    append_text(".1", "b\n");
    append_text("", "c\n");
    expect(lines, "again:b/again:c/");
}

static void begins_anew_in_an_emptied_file(void **state)
{
    (void)state;
    scope_lines struct lines *lines = open_lines(true);
    append_text("", "aaaa\nbbbb\n");
    expect(lines, "aaaa/bbbb/");
    assert_int_equal(truncate(path, 0), 0);
    append_text("", "c\n");
    expect(lines, "c/");
}

static void passes_over_a_line_that_is_too_long(void **state)
{
    (void)state;
    scope_free char *noise = memory_allocate(1, 3 * LINES_LONGEST);
    memset(noise, 'x', 3 * LINES_LONGEST);
    append_text("", "a\n");
    append("", noise, 3 * LINES_LONGEST);
    append_text("", "\nb\n");
    scope_lines struct lines *lines = open_lines(false);
    expect(lines, "a/b/");
}

static void bears_what_is_no_file(void **state)
{
    struct lines *lines;
    struct error err;
    (void)state;
    append_text(".1.gz", "this is not compressed\nreally\n");
    scope_lines struct lines *plain = open_lines(false);
    expect(plain, "this is not compressed/really/");
    append(".2.gz", "\x1f\x8b\x08garbage", 10);
    scope_lines struct lines *garbage = open_lines(false);
    expect(garbage, "this is not compressed/really/");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(lines_open(&lines, path, false, &err), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(lines_open(&lines, path, false, &err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_the_oldest_first),
        TEST(gives_the_last),
        TEST(follows_rotation),
        TEST(says_when_the_place_is_lost),
        TEST(begins_anew_in_an_emptied_file),
        TEST(passes_over_a_line_that_is_too_long),
        TEST(bears_what_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
