#include "oci/verb/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"

int log_open(struct log *log, const char *path, bool json, bool debug, struct error *err)
{
    *log = (struct log){.fd = -1, .json = json, .debug = debug};
    if (!path)
        return 0;
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    /* On a full disk: what we are here for is more important than to tell of it. */
    if (log->fd < 0 && errno != ENOSPC && errno != EDQUOT)
        return error_set(err, errno, "can't open the log %s", path);
    return 0;
}

/* RFC 3339 in local time, as logrus writes it. */
static void format_time(char text[40])
{
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S%z", &parts);
    if (parts.tm_gmtoff == 0) {
        strcpy(text + length - 5, "Z");
    } else {
        memmove(text + length - 1, text + length - 2, 3);
        text[length - 2] = ':';
    }
}

static char *format_json(const char *level, const char *message, const char *now)
{
    json_t *line =
        json_pack("{s:s, s:s%, s:s}", "level", level, "msg", message, strlen(message), "time", now);
    if (!line) /* not UTF-8: some name in it */
        line = json_pack("{s:s, s:s, s:s}", "level", level, "msg",
                         "an error whose text is not UTF-8", "time", now);
    scope_free char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    return memory_format("%s\n", text);
}

static char *format_text(const char *level, const char *message, const char *now)
{
    char *quoted = memory_allocate(2 * strlen(message) + 1, 1), *to = quoted;
    for (const char *from = message; *from; from++) {
        if (*from == '"' || *from == '\\')
            *to++ = '\\';
        if (*from == '\n') {
            *to++ = '\\';
            *to++ = 'n';
        } else {
            *to++ = *from;
        }
    }
    char *line = memory_format("time=\"%s\" level=%s msg=\"%s\"\n", now, level, quoted);
    free(quoted);
    return line;
}

void log_write(const struct log *log, const char *level, const char *message)
{
    if (strcmp(level, "debug") == 0 && !log->debug)
        return;
    int fd = log->fd;
    if (fd < 0 && strcmp(level, "error") == 0)
        return;
    char now[40];
    format_time(now);
    scope_free char *line =
        log->json ? format_json(level, message, now) : format_text(level, message, now);
    /* There is nobody to tell if the log can't be written. */
    (void)!file_write_all(fd < 0 ? STDERR_FILENO : fd, line, strlen(line));
}
