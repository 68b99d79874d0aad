/* Fuzzes what reads logs and events, whose files may be damaged: plain and compressed ones, and the
 * times in them. The first byte chooses how many of the last lines are wanted, and whether the rest
 * is a compressed file. */
#include "engine/lines.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/timestamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept)
{
    if (!kept)
        abort();
}

/* One directory for each process, removed at its end. */
static char directory[] = "/tmp/hull-fuzz-lines-XXXXXX";

static void remove_directory(void)
{
    char name[64];
    snprintf(name, sizeof name, "%s/log", directory);
    unlink(name);
    snprintf(name, sizeof name, "%s/log.1.gz", directory);
    unlink(name);
    rmdir(directory);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    promise(fd >= 0 && file_write_all(fd, data, size) == 0);
    close(fd);
}

static void read_time(const char *line)
{
    int64_t time, again;
    struct error err;
    if (timestamp_read(line, &time) && time != INT64_MIN && time != INT64_MAX) {
        promise(timestamp_read(timestamp_format(time, false).text, &again) && again == time);
        promise(timestamp_read_argument(line, 0, &again, &err) == 0 && again == time);
    }
}

/* How many lines there are, of the last wanted ones. */
static uint64_t count_lines(const char *path, uint64_t wanted)
{
    struct lines *lines;
    struct error err;
    char *line;
    size_t length;
    bool again;
    uint64_t count = 0;
    int result;
    promise(lines_open(&lines, path, false, &err) == 0);
    if (wanted < UINT64_MAX)
        promise(lines_skip_to_last(lines, wanted, &err) == 0);
    while ((result = lines_next(lines, &line, &length, &again, &err)) == 1) {
        promise(!line[length] && !again && !memchr(line, '\n', length));
        read_time(line);
        count++;
    }
    promise(result == 0);
    lines_close(&lines);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool has_directory;
    static char plain[64], compressed[64];
    if (!has_directory) {
        promise(mkdtemp(directory));
        snprintf(plain, sizeof plain, "%s/log", directory);
        snprintf(compressed, sizeof compressed, "%s/log.1.gz", directory);
        atexit(remove_directory);
        has_directory = true;
    }
    if (size < 1)
        return 0;
    uint64_t wanted = data[0] & 0x7f;
    bool is_compressed = data[0] & 0x80;
    write_file(is_compressed ? compressed : plain, data + 1, size - 1);
    unlink(is_compressed ? plain : compressed);
    uint64_t all = count_lines(plain, UINT64_MAX), some = count_lines(plain, wanted);
    /* Of a damaged compressed file what comes before the damage may differ. */
    promise(is_compressed || some == (all < wanted ? all : wanted));
    return 0;
}
