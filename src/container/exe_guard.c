#include "container/exe_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"

#define SEGMENTS_MAX 16

struct segment {
    uintptr_t start;
    size_t length;
    int protection;
};

struct segments {
    size_t count;
    struct segment items[SEGMENTS_MAX];
    size_t page;
};

static int protection_of(const ElfW(Phdr) * header)
{
    return (header->p_flags & PF_R ? PROT_READ : 0) | (header->p_flags & PF_W ? PROT_WRITE : 0) |
           (header->p_flags & PF_X ? PROT_EXEC : 0);
}

/* The first object is the program itself. Its relocated read-only part (RELRO) lies in a
 * writable segment, and becomes a piece of its own. */
static int collect_program(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct segments *segments = data;
    uintptr_t mask = ~(uintptr_t)(segments->page - 1);
    uintptr_t relro_start = 0, relro_end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_GNU_RELRO) {
            relro_start = (info->dlpi_addr + header->p_vaddr) & mask;
            relro_end = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & mask;
        }
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || segments->count + 2 > SEGMENTS_MAX)
            continue;
        uintptr_t start = (info->dlpi_addr + header->p_vaddr) & mask;
        /* Only what the file fills is mapped from it; the rest of .bss is anonymous already. */
        uintptr_t end =
            (info->dlpi_addr + header->p_vaddr + header->p_filesz + segments->page - 1) & mask;
        if (start <= relro_start && relro_end > start && relro_end <= end) {
            if (relro_start > start)
                segments->items[segments->count++] =
                    (struct segment){start, relro_start - start, protection_of(header)};
            segments->items[segments->count++] =
                (struct segment){relro_start, relro_end - relro_start, PROT_READ};
            start = relro_end;
        }
        if (end > start)
            segments->items[segments->count++] =
                (struct segment){start, end - start, protection_of(header)};
    }
    return 1;
}

/* Word by word, because a sanitizer's memcpy objects to the gaps between variables. */
__attribute__((no_sanitize("address", "undefined"))) static void
copy_words(void *to, const void *from, size_t length)
{
    volatile uint64_t *target = to;
    const volatile uint64_t *source = from;
    for (size_t i = 0; i < length / sizeof *source; i++)
        target[i] = source[i];
}

/* The copy takes the original's place in one system call, so the code that is running here,
 * itself in one of the segments, never misses a byte. Its pages are made at once: a fault for
 * each costs more than all the rest. */
static int replace_by_copy(const struct segment *segment)
{
    void *copy = mmap(NULL, segment->length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (copy == MAP_FAILED)
        return -1;
    copy_words(copy, (const void *)segment->start, segment->length);
    if (mprotect(copy, segment->length, segment->protection) == 0 &&
        mremap(copy, segment->length, segment->length, MREMAP_MAYMOVE | MREMAP_FIXED,
               (void *)segment->start) != MAP_FAILED)
        return 0;
    munmap(copy, segment->length);
    return -1;
}

/* PR_SET_MM_MAP sets the whole description of an address space at once; all but the file stays
 * as it is (proc(5), fields 26 to 28 and 45 to 51 of stat). */
static int read_description(struct prctl_mm_map *map)
{
    char text[1024];
    scope_close int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    unsigned long long fields[53] = {0};
    char *field = strrchr(text, ')');
    if (!field)
        return -1;
    field += 3; /* past the state, field 3 */
    for (int i = 4; i <= 52 && *field; i++)
        fields[i] = (unsigned long long)strtoll(field, &field, 10);
    map->start_code = fields[26];
    map->end_code = fields[27];
    map->start_stack = fields[28];
    map->start_data = fields[45];
    map->end_data = fields[46];
    map->start_brk = fields[47];
    map->brk = (uintptr_t)sbrk(0);
    map->arg_start = fields[48];
    map->arg_end = fields[49];
    map->env_start = fields[50];
    map->env_end = fields[51];
    return 0;
}

/* One of two ways, which need different capabilities: CAP_SYS_RESOURCE in the first user
 * namespace, or CAP_SYS_ADMIN (CAP_CHECKPOINT_RESTORE) in one's own. */
static int point_to(int file)
{
    if (prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, file, 0, 0) == 0)
        return 0;
    struct prctl_mm_map map = {.exe_fd = (uint32_t)file};
    if (read_description(&map) < 0)
        return -1;
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

/* ---- without privileges ---- */

enum reach { REACH_UNKNOWN, REACH_READ, REACH_WRITE };

/* May the calling user change the program's file, if only by allowing it first? */
static enum reach find_reach(int program)
{
    struct stat status;
    int seals = fcntl(program, F_GET_SEALS);
    if (seals >= 0 && seals & F_SEAL_WRITE)
        return REACH_READ;
    if (fstat(program, &status) < 0)
        return REACH_UNKNOWN;
    bool ours =
        status.st_uid == geteuid() || faccessat(AT_FDCWD, "/proc/self/exe", W_OK, AT_EACCESS) == 0;
    return ours ? REACH_WRITE : REACH_READ;
}

static int copy_program(int program, int copy)
{
    for (;;) {
        ssize_t count = sendfile(copy, program, NULL, 1 << 20);
        if (count < 0)
            return -1;
        if (count == 0)
            return fcntl(copy, F_ADD_SEALS,
                         F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    }
}

/* A copy learns from the environment whose copy it is. Who could set it to something else is the
 * user as whom it runs. */
#define ORIGINAL_VARIABLE "HULL_OCI_ORIGINAL"

int exe_guard_program_path(char *path, size_t size)
{
    const char *original = getenv(ORIGINAL_VARIABLE);
    ssize_t length = readlink("/proc/self/exe", path, size);
    if (length <= 0 || (size_t)length >= size)
        return -1;
    path[length] = '\0';
    if (strncmp(path, "/memfd:", 7) == 0) {
        if (!original || strlen(original) >= size)
            return -1;
        strcpy(path, original);
    }
    return 0;
}

int exe_guard_copy(char **argv, struct error *err)
{
    extern char **environ;
    if (geteuid() == 0)
        return 0;
    scope_close int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    enum reach reach = program < 0 ? REACH_UNKNOWN : find_reach(program);
    if (reach == REACH_UNKNOWN)
        return error_set(err, errno, "can't open this program's file");
    if (reach == REACH_READ)
        return 0;
    scope_close int copy = memfd_create("hull-oci", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0 || copy_program(program, copy) < 0)
        return error_set(err, errno, "can't copy this program");
    char path[PATH_MAX];
    if (exe_guard_program_path(path, sizeof path) == 0)
        setenv(ORIGINAL_VARIABLE, path, 1);
    fexecve(copy, argv, environ);
    return error_set(err, errno, "can't execute a copy of this program");
}

int exe_guard_detach(struct error *err)
{
    /* Detaching takes privileges; without them, exe_guard_copy() has seen to it. */
    if (geteuid() != 0)
        return 0;
    struct segments segments = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    dl_iterate_phdr(collect_program, &segments);
    scope_close int file = memfd_create("hull-oci", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 ||
        fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_set(err, errno, "can't make the file that stands in for this program");
    for (size_t i = 0; i < segments.count; i++) {
        if (replace_by_copy(&segments.items[i]) < 0)
            return error_set(err, errno, "can't detach this program from its file");
    }
    if (point_to(file) == 0)
        return 0;
    return error_set(err, errno, "can't detach this program from its file");
}
