#include "container/seccomp_cache.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/file.h"
#include "base/scope.h"

#define FORMAT_VERSION 1
#define ENTRY_PREFIX "filter-"
#define NEW_PREFIX "new-"
#define NEW_LIFE 60 /* seconds after which a file that was being written is an orphan */
#define ENTRY_NAME_SIZE 64
#define ENTRY_SIZE_LIMIT (1024 * 1024) /* bytes; the largest filter takes 32 KiB */

static const char entry_magic[8] = "hullbpf";

/* What tells one build of libseccomp from another without loading it. */
struct library_identity {
    uint64_t device, inode, size, changed_seconds, changed_nanoseconds;
    uint64_t modified_seconds, modified_nanoseconds;
};

/* Followed by the key, the library's path with its NUL, and the instructions. Written and read by
 * the same machine: a foreign byte order fails the key's comparison. */
struct entry_header {
    char magic[sizeof entry_magic];
    uint64_t checksum; /* of all that follows it */
    uint64_t key_length, path_length, instruction_count;
    struct library_identity library;
};
#define CHECKSUM_END (offsetof(struct entry_header, checksum) + sizeof(uint64_t))

/* ---- the key ---- */

static void put_bytes(struct seccomp_cache_key *key, const void *bytes, size_t count)
{
    if (key->room - key->length < count) {
        key->room = (key->length + count) * 2 + 4096;
        key->bytes = memory_resize(key->bytes, key->room, 1);
    }
    memcpy(key->bytes + key->length, bytes, count);
    key->length += count;
}

static void put_number(struct seccomp_cache_key *key, uint64_t number)
{
    put_bytes(key, &number, sizeof number);
}

/* With its length in front, so that no two lists of strings look alike. */
static void put_string(struct seccomp_cache_key *key, const char *text)
{
    size_t length = strlen(text);
    put_number(key, length);
    put_bytes(key, text, length);
}

static void put_strings(struct seccomp_cache_key *key, const struct config_strings *strings)
{
    put_number(key, strings->count);
    for (size_t i = 0; i < strings->count; i++)
        put_string(key, strings->items[i]);
}

static void put_rule(struct seccomp_cache_key *key, const struct config_seccomp_rule *rule)
{
    put_strings(key, &rule->names);
    put_string(key, rule->action);
    put_number(key, rule->has_errno);
    put_number(key, rule->has_errno ? rule->errno_value : 0);
    put_number(key, rule->argument_count);
    for (size_t i = 0; i < rule->argument_count; i++) {
        const struct config_seccomp_argument *argument = &rule->arguments[i];
        put_number(key, argument->index);
        put_number(key, argument->value);
        put_number(key, argument->value_two);
        put_string(key, argument->op);
    }
}

void seccomp_cache_make_key(struct seccomp_cache_key *key, const struct config_seccomp *seccomp)
{
    *key = (struct seccomp_cache_key){0};
    put_number(key, FORMAT_VERSION);
    struct utsname names;
    if (uname(&names) == 0) {
        put_string(key, names.machine);
        put_string(key, names.release);
    }
    put_string(key, seccomp->default_action);
    put_number(key, seccomp->has_default_errno);
    put_number(key, seccomp->has_default_errno ? seccomp->default_errno : 0);
    put_strings(key, &seccomp->architectures);
    put_number(key, seccomp->rule_count);
    for (size_t i = 0; i < seccomp->rule_count; i++)
        put_rule(key, &seccomp->rules[i]);
}

void seccomp_cache_release_key(struct seccomp_cache_key *key)
{
    free(key->bytes);
    *key = (struct seccomp_cache_key){0};
}

/* FNV-1a over words of eight bytes, the last one padded with zeros. */
static uint64_t hash_bytes(const unsigned char *bytes, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ count;
    while (count > 0) {
        uint64_t word = 0;
        size_t step = count < sizeof word ? count : sizeof word;
        memcpy(&word, bytes, step);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29; /* brings the high bits, which multiplying favours, back down */
        bytes += step;
        count -= step;
    }
    return hash;
}

static void name_entry(const struct seccomp_cache_key *key, char name[ENTRY_NAME_SIZE])
{
    snprintf(name, ENTRY_NAME_SIZE, ENTRY_PREFIX "%016llx",
             (unsigned long long)hash_bytes(key->bytes, key->length));
}

/* ---- whom to believe ---- */

static bool is_ours_alone(int fd, mode_t type, mode_t forbidden)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == type &&
           status.st_uid == geteuid() && !(status.st_mode & forbidden);
}

static int open_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && !is_ours_alone(fd, S_IFDIR, 0022)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool identify_library(const char *path, struct library_identity *identity)
{
    struct stat status;
    memset(identity, 0, sizeof *identity);
    if (stat(path, &status) < 0)
        return false;
    identity->device = status.st_dev;
    identity->inode = status.st_ino;
    identity->size = (uint64_t)status.st_size;
    identity->changed_seconds = (uint64_t)status.st_ctim.tv_sec;
    identity->changed_nanoseconds = (uint64_t)status.st_ctim.tv_nsec;
    identity->modified_seconds = (uint64_t)status.st_mtim.tv_sec;
    identity->modified_nanoseconds = (uint64_t)status.st_mtim.tv_nsec;
    return true;
}

/* ---- load ---- */

/* The entry's instructions within entry, or NULL if it is damaged, of another profile or of
 * another libseccomp. No length in it is believed before it was compared with the file's. */
static const unsigned char *check_entry(const unsigned char *entry, size_t length,
                                        const struct seccomp_cache_key *key, size_t *count)
{
    struct entry_header header;
    if (length < sizeof header)
        return NULL;
    memcpy(&header, entry, sizeof header);
    size_t left = length - sizeof header;
    if (memcmp(header.magic, entry_magic, sizeof entry_magic) != 0 ||
        header.checksum != hash_bytes(entry + CHECKSUM_END, length - CHECKSUM_END) ||
        header.key_length != key->length || key->length > left)
        return NULL;
    left -= key->length;
    if (header.path_length == 0 || header.path_length > left)
        return NULL;
    left -= header.path_length;
    if (header.instruction_count == 0 || header.instruction_count > BPF_MAXINSNS ||
        header.instruction_count * sizeof(struct sock_filter) != left)
        return NULL;
    const unsigned char *stored_key = entry + sizeof header;
    const char *path = (const char *)stored_key + key->length;
    struct library_identity library;
    if (memcmp(stored_key, key->bytes, key->length) != 0 || path[header.path_length - 1] != '\0' ||
        !identify_library(path, &library) || memcmp(&library, &header.library, sizeof library) != 0)
        return NULL;
    *count = header.instruction_count;
    return entry + length - left;
}

bool seccomp_cache_load(const char *directory, const struct seccomp_cache_key *key,
                        struct sock_fprog *filter)
{
    scope_close int directory_fd = open_directory(directory);
    if (directory_fd < 0)
        return false;
    char name[ENTRY_NAME_SIZE];
    name_entry(key, name);
    /* O_NONBLOCK: a FIFO in its place must not stop us before it is seen to be one. */
    scope_close int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || !is_ours_alone(fd, S_IFREG, 0077))
        return false;
    size_t length, count;
    scope_free unsigned char *entry =
        (unsigned char *)file_read_all_fd(fd, name, ENTRY_SIZE_LIMIT, &length, NULL);
    const unsigned char *instructions = entry ? check_entry(entry, length, key, &count) : NULL;
    if (!instructions)
        return false;
    filter->filter = memory_allocate(count, sizeof *filter->filter);
    memcpy(filter->filter, instructions, count * sizeof *filter->filter);
    filter->len = (unsigned short)count;
    return true;
}

/* ---- store ---- */

static bool is_orphan(const struct stat *status)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return status->st_mtim.tv_sec + NEW_LIFE < now.tv_sec;
}

static bool is_older(const struct stat *one, const struct stat *other)
{
    if (one->st_mtim.tv_sec != other->st_mtim.tv_sec)
        return one->st_mtim.tv_sec < other->st_mtim.tv_sec;
    return one->st_mtim.tv_nsec < other->st_mtim.tv_nsec;
}

/* Looks through the directory once: removes what killed writers left, and returns the number of
 * entries, with the name of the oldest. */
static size_t survey_entries(int directory_fd, char oldest[ENTRY_NAME_SIZE])
{
    int copy = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scope_closedir DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    struct stat oldest_status = {0};
    size_t count = 0;
    struct dirent *item;
    while ((item = readdir(directory))) {
        struct stat status;
        bool entry = strncmp(item->d_name, ENTRY_PREFIX, strlen(ENTRY_PREFIX)) == 0;
        bool fresh = strncmp(item->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0;
        if ((!entry && !fresh) || strlen(item->d_name) >= ENTRY_NAME_SIZE ||
            fstatat(directory_fd, item->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (fresh && is_orphan(&status))
            unlinkat(directory_fd, item->d_name, 0);
        if (!entry)
            continue;
        if (count++ == 0 || is_older(&status, &oldest_status)) {
            oldest_status = status;
            strcpy(oldest, item->d_name);
        }
    }
    return count;
}

static void evict_entries(int directory_fd)
{
    char oldest[ENTRY_NAME_SIZE];
    /* More than one to remove only if several writers were at work, or killed, at once. */
    for (int tries = 0; tries < SECCOMP_CACHE_ENTRIES; tries++) {
        if (survey_entries(directory_fd, oldest) <= SECCOMP_CACHE_ENTRIES ||
            unlinkat(directory_fd, oldest, 0) < 0)
            return;
    }
}

static void write_entry(int directory_fd, const char *name, const void *entry, size_t length)
{
    char new_name[ENTRY_NAME_SIZE];
    snprintf(new_name, sizeof new_name, NEW_PREFIX "%d", (int)getpid());
    scope_close int fd =
        openat(directory_fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (file_write_all(fd, entry, length) < 0 ||
        renameat(directory_fd, new_name, directory_fd, name) < 0)
        unlinkat(directory_fd, new_name, 0);
}

void seccomp_cache_store(const char *directory, const struct seccomp_cache_key *key,
                         const char *library_path, const struct sock_fprog *filter)
{
    struct entry_header header = {.key_length = key->length,
                                  .path_length = strlen(library_path) + 1,
                                  .instruction_count = filter->len};
    memcpy(header.magic, entry_magic, sizeof entry_magic);
    if (!identify_library(library_path, &header.library))
        return;
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return;
    scope_close int directory_fd = open_directory(directory);
    if (directory_fd < 0)
        return;
    struct seccomp_cache_key entry = {0}; /* as a buffer that grows */
    put_bytes(&entry, &header, sizeof header);
    put_bytes(&entry, key->bytes, key->length);
    put_bytes(&entry, library_path, header.path_length);
    put_bytes(&entry, filter->filter, filter->len * sizeof *filter->filter);
    uint64_t checksum = hash_bytes(entry.bytes + CHECKSUM_END, entry.length - CHECKSUM_END);
    memcpy(entry.bytes + offsetof(struct entry_header, checksum), &checksum, sizeof checksum);
    char name[ENTRY_NAME_SIZE];
    name_entry(key, name);
    if (entry.length <= ENTRY_SIZE_LIMIT)
        write_entry(directory_fd, name, entry.bytes, entry.length);
    seccomp_cache_release_key(&entry);
    evict_entries(directory_fd);
}
