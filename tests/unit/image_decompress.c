/* image/decompress, and the bounds of extraction: streams that are damaged, cut off, or made to
 * fill the disk. */
#include "image_fixture.h"

#include "image/decompress.h"

static void make_small_tar(struct tar *tar)
{
    char *text = memory_allocate(1, 300000);
    for (size_t i = 0; i < 300000; i++) /* that doesn't compress to nothing */
        text[i] = (char)('a' + (i * i / 7 + i / 13) % 26);
    TAR_ADD(tar, "dir/", .type = '5', .mode = 0755);
    TAR_ADD(tar, "dir/big", .data = text, .length = 300000);
    TAR_ADD(tar, "dir/small", .data = "small");
    tar_end(tar);
    free(text);
}

/* Writes the stream into a file and extracts that. */
static int extract_file(const struct tar *stream, const struct image_limits *limits)
{
    struct archive_extract_options options = {.layer = true, .owners = geteuid() == 0};
    if (limits)
        options.limits = *limits;
    scope_close int fd = openat(fixture.fd, "stream", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(file_write_all(fd, stream->bytes, stream->length), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    archive_extract_result_release(&fixture.result);
    fixture.err = (struct error){0};
    return archive_extract_file(fixture.root, fd, &options, &fixture.result, &fixture.err);
}

static void plain_gzip_and_zstd_are_seen_by_their_bytes(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    make_small_tar(&tar);
    scope_tar struct tar gzip = tar_gzip(&tar), zstd = tar_zstd(&tar);
    const struct tar *const streams[] = {&tar, &gzip, &zstd};
    for (size_t i = 0; i < 3; i++) {
        if (extract_file(streams[i], NULL) < 0)
            fail_msg("%s", fixture.err.text);
        fixture_assert_text("dir/small", "small");
        assert_int_equal(fixture_stat("dir/big").st_size, 300000);
        assert_int_equal(fixture.result.bytes, 300005);
        assert_int_equal(fixture.result.entries, 3);
    }
}

static void streams_of_several_members_are_one(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0}, joined = {0};
    make_small_tar(&tar);
    const struct tar first = {.bytes = tar.bytes, .length = 100000};
    const struct tar second = {.bytes = tar.bytes + 100000, .length = tar.length - 100000};
    const struct tar nothing = {0};
    for (int kind = 0; kind < 2; kind++) {
        struct tar (*pack)(const struct tar *) = kind ? tar_zstd : tar_gzip;
        scope_tar struct tar one = pack(&first), two = pack(&nothing), three = pack(&second);
        tar_release(&joined);
        tar_append(&joined, one.bytes, one.length);
        tar_append(&joined, two.bytes, two.length);
        tar_append(&joined, three.bytes, three.length);
        tar_append(&joined, two.bytes, two.length);
        if (extract_file(&joined, NULL) < 0)
            fail_msg("%s", fixture.err.text);
        fixture_assert_text("dir/small", "small");
    }
}

static void a_stream_that_is_cut_off_is_an_error_wherever(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    make_small_tar(&tar);
    scope_tar struct tar gzip = tar_gzip(&tar), zstd = tar_zstd(&tar);
    const struct tar *const streams[] = {&gzip, &zstd};
    for (size_t i = 0; i < 2; i++)
        for (size_t cut = 1; cut < streams[i]->length; cut += 1 + cut / 3) {
            const struct tar part = {.bytes = streams[i]->bytes, .length = cut};
            assert_int_equal(extract_file(&part, NULL), -1);
            const struct tar last = {.bytes = streams[i]->bytes,
                                     .length = streams[i]->length - (cut > 12 ? 12 : cut)};
            assert_int_equal(extract_file(&last, NULL), -1);
        }
    /* A plain tar in the middle of a file, and of a header. */
    for (size_t cut = 100; cut < tar.length - 1200; cut += 70001) {
        const struct tar part = {.bytes = tar.bytes, .length = cut};
        assert_int_equal(extract_file(&part, NULL), -1);
        assert_true(fixture.err.text[0]);
    }
}

static void damage_is_noticed(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    make_small_tar(&tar);
    scope_tar struct tar gzip = tar_gzip(&tar);
    for (size_t i = 20; i < gzip.length; i += gzip.length / 50) {
        gzip.bytes[i] ^= 0x41;
        assert_int_equal(extract_file(&gzip, NULL), -1);
        assert_true(fixture.err.text[0]);
        gzip.bytes[i] ^= 0x41;
    }
    assert_int_equal(extract_file(&gzip, NULL), 0);
    /* A tar's header has a sum. */
    tar.bytes[3] ^= 1;
    assert_int_equal(extract_file(&tar, NULL), -1);
    fixture_assert_error("damaged");
}

static ssize_t read_piece(void *context, void *bytes, size_t room, struct error *error)
{
    struct fixture_source *source = context;
    size_t left = source->tar->length - source->used;
    size_t count = room < left ? room : left;
    (void)error;
    memcpy(bytes, source->tar->bytes + source->used, count);
    source->used += count;
    return (ssize_t)count;
}

/* Whoever reads to the end (a layer's digest is of all bytes) is told. */
static void garbage_behind_the_end_is_noticed(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    make_small_tar(&tar);
    scope_tar struct tar gzip = tar_gzip(&tar), zstd = tar_zstd(&tar);
    struct tar *const streams[] = {&gzip, &zstd};
    for (size_t i = 0; i < 2; i++) {
        struct error err = {0};
        char piece[65536];
        tar_append(streams[i], "garbage, and some more of it", 28);
        ssize_t count;
        struct fixture_source source = {.tar = streams[i]};
        struct decompressor *decompressor = decompressor_new(read_piece, &source, NULL);
        while ((count = decompressor_read(decompressor, piece, sizeof piece, &err)) > 0)
            ;
        decompressor_free(decompressor);
        assert_int_equal(count, -1);
        assert_non_null(strstr(err.text, "damaged"));
    }
}

static void other_compressions_are_named(void **state)
{
    (void)state;
    static const char *const streams[] = {"BZh91AY&SY", "\xfd"
                                                        "7zXZ"};
    for (size_t i = 0; i < 2; i++) {
        const struct tar stream = {.bytes = (char *)streams[i], .length = strlen(streams[i])};
        assert_int_equal(extract_file(&stream, NULL), -1);
        fixture_assert_error("bzip2 or xz");
    }
}

static void what_is_no_archive_is_refused(void **state)
{
    (void)state;
    char noise[4096];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 7919 >> 3 ^ i);
    const struct tar stream = {.bytes = noise, .length = sizeof noise};
    assert_int_equal(extract_file(&stream, NULL), -1);
    assert_true(fixture.err.text[0]);
    const struct tar short_one = {.bytes = noise, .length = 2};
    assert_int_equal(extract_file(&short_one, NULL), -1);
}

static void an_entry_that_says_eight_exbibytes_fills_nothing(void **state)
{
    (void)state;
    static const long long sizes[] = {INT64_MAX, INT64_MAX - 511, 1ll << 62, 1ll << 50,
                                      -1,        INT64_MIN};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        scope_tar struct tar tar = {0};
        TAR_ADD(&tar, "huge", .data = "a few bytes", .size = sizes[i]);
        tar_end(&tar);
        assert_int_equal(fixture_extract(&tar), -1);
        assert_true(fixture.err.text[0]);
        if (fixture_exists("huge"))
            assert_true(fixture_stat("huge").st_blocks < 100);
    }
    scope_tar struct tar tar = {0};
    tar_pax(&tar, "size", "9223372036854775807");
    TAR_ADD(&tar, "huge", .data = "a few bytes");
    tar_end(&tar);
    assert_int_equal(fixture_extract(&tar), -1);
}

static void a_long_extended_header_is_not_believed(void **state)
{
    (void)state;
    static const char kinds[] = {'x', 'g', 'L', 'K'};
    for (size_t i = 0; i < sizeof kinds; i++) {
        scope_tar struct tar tar = {0};
        TAR_ADD(&tar, "pax", .type = kinds[i], .data = "20 path=x\n", .size = 1ll << 40);
        TAR_ADD(&tar, "file", .data = "x");
        tar_end(&tar);
        assert_int_equal(fixture_extract(&tar), -1);
        fixture_assert_error("too large");
    }
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "pax", .type = 'x', .data = "99999999999 path=x\n");
    TAR_ADD(&tar, "file", .data = "x");
    tar_end(&tar);
    assert_int_equal(fixture_extract(&tar), 0);
    fixture_assert_text("file", "x"); /* as if it weren't there */
}

static void bounds_of_bytes_and_entries_hold(void **state)
{
    (void)state;
    scope_tar struct tar tar = {0};
    make_small_tar(&tar);
    struct image_limits limits = {.entries = 2};
    assert_int_equal(extract_file(&tar, &limits), -1);
    fixture_assert_error("more than 2 entries");
    limits = (struct image_limits){.entries = 3};
    assert_int_equal(extract_file(&tar, &limits), 0);
    limits = (struct image_limits){.bytes = 200000};
    assert_int_equal(extract_file(&tar, &limits), -1);
    fixture_assert_error("bomb");
}

/* 200 MiB of zeros as one zstd frame: a few KiB. gzip can't do more than 1032 : 1. */
static void a_bomb_is_noticed_by_its_ratio(void **state)
{
    (void)state;
    char *zeros = memory_allocate(1, 200u << 20);
    scope_tar struct tar tar = {0};
    TAR_ADD(&tar, "zeros", .data = zeros, .length = 200u << 20);
    free(zeros);
    tar_end(&tar);
    scope_tar struct tar zstd = tar_zstd(&tar), gzip = tar_gzip(&tar);
    assert_true(zstd.length < 100000);
    assert_int_equal(extract_file(&zstd, NULL), -1);
    fixture_assert_error("a bomb");
    assert_true(fixture_stat("zeros").st_size <= 65ll << 20);
    /* The same with a ratio that is borne. */
    const struct image_limits limits = {.ratio = 100000};
    assert_int_equal(extract_file(&zstd, &limits), 0);
    assert_int_equal(extract_file(&gzip, NULL), 0);
    const struct image_limits tight = {.ratio = 500};
    assert_int_equal(extract_file(&gzip, &tight), -1);
    fixture_assert_error("a bomb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
        CASE(plain_gzip_and_zstd_are_seen_by_their_bytes),
        CASE(streams_of_several_members_are_one),
        CASE(a_stream_that_is_cut_off_is_an_error_wherever),
        CASE(damage_is_noticed),
        CASE(garbage_behind_the_end_is_noticed),
        CASE(other_compressions_are_named),
        CASE(what_is_no_archive_is_refused),
        CASE(an_entry_that_says_eight_exbibytes_fills_nothing),
        CASE(a_long_extended_header_is_not_believed),
        CASE(bounds_of_bytes_and_entries_hold),
        CASE(a_bomb_is_noticed_by_its_ratio),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
