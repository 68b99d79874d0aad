#include "container/record.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scope.h"

#define JOURNAL_SUFFIX ".container"
#define START_SUFFIX ".start"
#define JOURNAL_LIMIT (64u << 20)

const char *const container_status_names[] = {"creating", "created", "running", "paused",
                                              "stopped"};

int record_check_id(const char *id, struct error *err)
{
    size_t length = strlen(id);
    if (length == 0)
        return error_set(err, 0, "the container ID is empty");
    if (length > NAME_MAX - sizeof JOURNAL_SUFFIX)
        return error_set(err, 0, "the container ID is longer than %zu characters",
                         (size_t)NAME_MAX - sizeof JOURNAL_SUFFIX);
    if (file_is_dots(id))
        return error_set(err, 0, "'%s' can't be a container ID", id);
    for (const char *c = id; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("_+.-", *c))
            return error_set(err, 0,
                             "invalid container ID '%s': only letters, digits and _ + . - are "
                             "allowed",
                             id);
    }
    return 0;
}

static void name_file(char name[NAME_MAX + 1], const char *id, const char *suffix)
{
    snprintf(name, NAME_MAX + 1, "%s%s", id, suffix);
}

static int open_root(const char *root, bool make, struct error *err)
{
    int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 && errno == ENOENT && make) {
        if (file_make_directories(root, 0700, err) < 0)
            return -1;
        directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (directory < 0)
        return error_set(err, errno, "can't open the state directory %s", root);
    return directory;
}

/* Waits for the lock of a record that was just made; somebody may be looking at it, or have
 * deleted it already. */
static int record_hold(struct record *record, struct error *err)
{
    if (file_lock(record->fd, LOCK_EX) < 0)
        return error_set(err, errno, "can't lock the container's record");
    record->locked = true;
    struct stat status;
    if (fstat(record->fd, &status) == 0 && status.st_nlink > 0)
        return 0;
    error_set(err, 0, "container does not exist (it was just deleted)");
    if (err)
        err->code = ENOENT;
    return -1;
}

int record_create(struct record *record, const char *root, const char *id, json_t *header,
                  const char *config_text, size_t config_length, struct error *err)
{
    *record = (struct record)RECORD_CLOSED;
    record->header = header;
    record->id = memory_copy_string(id);
    record->directory = open_root(root, true, err);
    if (record->directory < 0) {
        record_close(record);
        return -1;
    }
    json_object_set_new(header, "config_bytes", json_integer((json_int_t)config_length));
    scope_free char *line = json_dumps(header, JSON_COMPACT);
    size_t line_length = line ? strlen(line) : 0;
    scope_free char *text = memory_allocate(1, line_length + config_length + 2);
    memcpy(text, line, line_length);
    text[line_length] = '\n';
    memcpy(text + line_length + 1, config_text, config_length);
    text[line_length + 1 + config_length] = '\n';

    char name[NAME_MAX + 1];
    name_file(name, id, JOURNAL_SUFFIX);
    record->fd =
        openat(record->directory, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (record->fd < 0) {
        int code = errno;
        if (code == EEXIST)
            error_set(err, 0,
                      "container with given ID already exists (delete it, or choose "
                      "another ID)");
        else
            error_set(err, code, "can't write the container's record in %s", root);
        if (err)
            err->code = code;
        record_close(record);
        return -1;
    }
    if (record_hold(record, err) < 0) {
        record_close(record);
        return -1;
    }
    if (file_write_all(record->fd, text, line_length + config_length + 2) < 0) {
        error_set(err, errno, "can't write the container's record in %s", root);
        unlinkat(record->directory, name, 0);
        record_close(record);
        return -1;
    }
    return 0;
}

static void read_event(struct record *record, const char *line, size_t length)
{
    json_t *event = json_loadb(line, length, 0, NULL);
    json_t *pid = json_object_get(event, "pid");
    if (pid) {
        record->pid = (pid_t)json_integer_value(pid);
        record->start_time = (uint64_t)json_integer_value(json_object_get(event, "start_time"));
    }
    json_t *hook = json_object_get(event, "hook");
    if (hook) {
        record->hook_pid = (pid_t)json_integer_value(hook);
        record->hook_start_time =
            (uint64_t)json_integer_value(json_object_get(event, "start_time"));
    }
    if (json_is_true(json_object_get(event, "created")))
        record->created = true;
    json_decref(event);
}

/* Takes the journal apart. What is not whole was never acknowledged, and is passed over. */
static void read_journal(struct record *record, const char *text, size_t length)
{
    const char *end = text + length;
    const char *newline = memchr(text, '\n', length);
    if (!newline)
        return;
    record->header = json_loadb(text, (size_t)(newline - text), 0, NULL);
    json_t *bytes = json_object_get(record->header, "config_bytes");
    if (!json_is_integer(bytes))
        return;
    size_t config_length = (size_t)json_integer_value(bytes);
    const char *config_text = newline + 1;
    if (config_length >= (size_t)(end - config_text))
        return;
    record->config_text = memory_allocate(1, config_length + 1);
    memcpy(record->config_text, config_text, config_length);
    record->config_length = config_length;
    const char *line = config_text + config_length + 1;
    while (line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
        read_event(record, line, (size_t)(newline - line));
        line = newline + 1;
    }
}

int record_reload(struct record *record, struct error *err)
{
    if (lseek(record->fd, 0, SEEK_SET) < 0)
        return error_set(err, errno, "can't read the container's record");
    size_t length;
    scope_free char *text =
        file_read_all_fd(record->fd, "the container's record", JOURNAL_LIMIT, &length, err);
    if (!text)
        return -1;
    json_decref(record->header);
    free(record->config_text);
    record->header = NULL;
    record->config_text = NULL;
    record->pid = 0;
    record->hook_pid = 0;
    record->created = false;
    read_journal(record, text, length);
    return 0;
}

int record_open(struct record *record, const char *root, const char *id, struct error *err)
{
    *record = (struct record)RECORD_CLOSED;
    if (record_check_id(id, err) < 0)
        return -1;
    char name[NAME_MAX + 1];
    name_file(name, id, JOURNAL_SUFFIX);
    record->directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (record->directory >= 0)
        record->fd = openat(record->directory, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (record->fd < 0) {
        int code = errno;
        record_close(record);
        if (code == ENOENT || code == ENOTDIR)
            error_set(err, 0, "container does not exist (in %s)", root);
        else
            error_set(err, code, "can't open the container's record in %s", root);
        if (err)
            err->code = code;
        return -1;
    }
    record->id = memory_copy_string(id);
    if (record_reload(record, err) < 0) {
        record_close(record);
        return -1;
    }
    return 0;
}

void record_close(struct record *record)
{
    if (record->fd >= 0)
        close(record->fd);
    if (record->directory >= 0)
        close(record->directory);
    json_decref(record->header);
    free(record->config_text);
    free(record->id);
    *record = (struct record)RECORD_CLOSED;
}

int record_lock(struct record *record, int wait_milliseconds, struct error *err)
{
    for (int waited = 0;; waited += 5) {
        if (flock(record->fd, LOCK_EX | LOCK_NB) == 0)
            break;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set(err, errno, "can't lock the container's record");
        if (waited >= wait_milliseconds)
            return error_set(err, EBUSY,
                             "another operation on the container is still under way (wait for it, "
                             "or end it)");
        poll(NULL, 0, 5);
    }
    if (record_hold(record, err) < 0)
        return -1;
    return record_reload(record, err);
}

void record_unlock(struct record *record)
{
    flock(record->fd, LOCK_UN);
    record->locked = false;
}

static int add_event(const struct record *record, const char *line, struct error *err)
{
    if (file_write_all(record->fd, line, strlen(line)) < 0)
        return error_set(err, errno, "can't write the container's record");
    return 0;
}

int record_add_process(struct record *record, pid_t pid, struct error *err)
{
    char state;
    if (process_start_time(pid, &record->start_time, &state) < 0)
        return error_set(err, errno, "can't read the start time of process %d", pid);
    record->pid = pid;
    char line[96];
    snprintf(line, sizeof line, "{\"pid\":%d,\"start_time\":%llu}\n", pid,
             (unsigned long long)record->start_time);
    return add_event(record, line, err);
}

int record_add_created(struct record *record, struct error *err)
{
    record->created = true;
    return add_event(record, "{\"created\":true}\n", err);
}

int record_add_hook(const struct record *record, struct error *err)
{
    uint64_t start_time;
    char state, line[96];
    if (process_start_time(getpid(), &start_time, &state) < 0)
        return error_set(err, errno, "can't read the start time of process %d", getpid());
    snprintf(line, sizeof line, "{\"hook\":%d,\"start_time\":%llu}\n", getpid(),
             (unsigned long long)start_time);
    return add_event(record, line, err);
}

int record_remove(struct record *record, struct error *err)
{
    char name[NAME_MAX + 1];
    record_unlink_start(record);
    name_file(name, record->id, JOURNAL_SUFFIX);
    if (unlinkat(record->directory, name, 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "can't remove the container's record");
    return 0;
}

static bool is_alive(pid_t pid, uint64_t recorded_start_time)
{
    uint64_t start_time;
    char state;
    if (pid == 0 || process_start_time(pid, &start_time, &state) < 0)
        return false;
    return start_time == recorded_start_time && state != 'Z' && state != 'X';
}

static bool process_is_alive(const struct record *record)
{
    return is_alive(record->pid, record->start_time);
}

void record_kill_hook(const struct record *record)
{
    if (is_alive(record->hook_pid, record->hook_start_time) && kill(-record->hook_pid, SIGKILL) < 0)
        kill(record->hook_pid, SIGKILL); /* it has left its group */
}

int record_open_process(const struct record *record)
{
    if (record->pid == 0) {
        errno = ESRCH;
        return -1;
    }
    int pidfd = pidfd_open(record->pid, 0);
    /* The descriptor first, then the look: what it refers to can't change in between. */
    if (pidfd >= 0 && !process_is_alive(record)) {
        close(pidfd);
        errno = ESRCH;
        return -1;
    }
    return pidfd;
}

/* By others: asking would change a lock of our own. */
static bool is_locked(const struct record *record)
{
    if (record->locked)
        return false;
    if (flock(record->fd, LOCK_SH | LOCK_NB) < 0)
        return true;
    flock(record->fd, LOCK_UN);
    return false;
}

enum container_status record_status(const struct record *record)
{
    if (!record->created && is_locked(record))
        return CONTAINER_CREATING;
    if (!process_is_alive(record))
        return CONTAINER_STOPPED;
    if (!record->created) /* `run`: its first process can outlive the runtime only by exec */
        return CONTAINER_RUNNING;
    struct error reason;
    int connection = record_connect_start(record, &reason);
    if (connection < 0)
        return reason.code == EAGAIN ? CONTAINER_CREATED : CONTAINER_RUNNING;
    close(connection);
    return CONTAINER_CREATED;
}

/* The socket is named after the journal's inode: unique in ROOT, and short, because sun_path has
 * room for 108 bytes only. */
static int name_start(const struct record *record, char name[NAME_MAX + 1])
{
    struct stat status;
    if (fstat(record->fd, &status) < 0)
        return -1;
    snprintf(name, NAME_MAX + 1, "%llu%s", (unsigned long long)status.st_ino, START_SUFFIX);
    return 0;
}

static int name_start_address(const struct record *record, struct sockaddr_un *address)
{
    char name[NAME_MAX + 1];
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (name_start(record, name) < 0)
        return -1;
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%.40s",
             record->directory, name);
    return 0;
}

int record_listen_start(const struct record *record, struct error *err)
{
    struct sockaddr_un address;
    scope_close int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0 || name_start_address(record, &address) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0)
        return error_set(err, errno, "can't make the socket on which '%s' waits for start",
                         record->id);
    return scope_take_fd(&listener);
}

int record_connect_start(const struct record *record, struct error *err)
{
    struct sockaddr_un address;
    /* Only connecting mustn't wait: the queue of a process that is frozen fills up. */
    scope_close int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection < 0 || name_start_address(record, &address) < 0 ||
        connect(connection, (struct sockaddr *)&address, sizeof address) < 0 ||
        fcntl(connection, F_SETFL, 0) < 0)
        return error_set(err, errno, "can't reach the process that waits to be started");
    return scope_take_fd(&connection);
}

void record_unlink_start(const struct record *record)
{
    char name[NAME_MAX + 1];
    if (name_start(record, name) == 0)
        unlinkat(record->directory, name, 0);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int record_list(const char *root, char ***ids, size_t *count, struct error *err)
{
    *ids = NULL;
    *count = 0;
    scope_closedir DIR *directory = opendir(root);
    if (!directory)
        return errno == ENOENT ? 0 : error_set(err, errno, "can't read %s", root);
    size_t suffix = strlen(JOURNAL_SUFFIX);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        size_t length = strlen(entry->d_name);
        if (length <= suffix || strcmp(entry->d_name + length - suffix, JOURNAL_SUFFIX) != 0)
            continue;
        *ids = memory_resize(*ids, *count + 1, sizeof **ids);
        (*ids)[(*count)++] = memory_format("%.*s", (int)(length - suffix), entry->d_name);
    }
    if (*count)
        qsort(*ids, *count, sizeof **ids, compare_names);
    return 0;
}
