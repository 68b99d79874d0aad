/* Translates linux.seccomp into calls of libseccomp, and its result into a program for
 * seccomp(2). Where libseccomp leaves a choice, runc's is taken, because profiles were written
 * against it; each such place says so. */
#include "container/seccomp_compile.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/seccomp.h"
#include "container/seccomp_enosys.h"
#include "container/seccomp_library.h"
#include "container/seccomp_names.h"

#define ARGUMENT_COUNT 6 /* of a system call */
/* Above this many names a search tree is faster than libseccomp's list. */
#define SEARCH_TREE_THRESHOLD 32
#define HIGHEST_ERRNO 4095U /* what the kernel passes on to the program */
#define HIGHEST_TRACE_DATA 65535U
/* libseccomp calls SCMP_ARCH_X86_64 "x86_64", and so on for all. */
#define ARCHITECTURE_PREFIX "SCMP_ARCH_"

/* Errno and trace take a number, EPERM if none is given; for all others the specification demands
 * an error where one is. */
static int translate_action(const char *name, bool has_number, uint32_t number, const char *field,
                            uint32_t *action, struct error *err)
{
    int index = seccomp_find_name(seccomp_actions(), name);
    if (index < 0)
        return error_set(err, 0, "linux.seccomp: unknown action %s", name);
    *action = seccomp_action_value(index);
    bool is_errno = *action == SCMP_ACT_ERRNO(0), is_trace = *action == SCMP_ACT_TRACE(0);
    if (!is_errno && !is_trace) {
        if (has_number)
            return error_set(err, 0, "linux.seccomp: %s is given, but %s takes none", field, name);
        return 0;
    }
    if (!has_number)
        number = EPERM;
    if (number > (is_errno ? HIGHEST_ERRNO : HIGHEST_TRACE_DATA))
        return error_set(err, 0, "linux.seccomp: %s %u is too large for %s", field, number, name);
    *action |= number;
    return 0;
}

/* What all steps of one compilation share. */
struct compilation {
    const struct seccomp_library *library;
    const struct config_seccomp *seccomp;
    scmp_filter_ctx context;
    uint32_t default_action;
    uint32_t architectures[SECCOMP_ARCHITECTURE_LIMIT +
                           1]; /* libseccomp's tokens, the native one first */
    size_t architecture_count;
};

/* The native architecture is always filtered, as in runc: a profile without it would kill every
 * program. */
static int add_architectures(struct compilation *compilation, struct error *err)
{
    const struct config_strings *names = &compilation->seccomp->architectures;
    compilation->architectures[compilation->architecture_count++] =
        compilation->library->arch_native();
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        char own_name[32] = "";
        if (seccomp_find_name(seccomp_architectures(), name) < 0)
            return error_set(err, 0, "linux.seccomp.architectures: unknown architecture %s", name);
        const char *from = name + strlen(ARCHITECTURE_PREFIX);
        for (size_t at = 0; from[at] && at + 1 < sizeof own_name; at++)
            own_name[at] =
                (char)(from[at] >= 'A' && from[at] <= 'Z' ? from[at] - 'A' + 'a' : from[at]);
        uint32_t token = compilation->library->arch_resolve_name(own_name);
        if (token == 0)
            return error_set(err, 0,
                             "linux.seccomp.architectures: the installed libseccomp doesn't know "
                             "%s",
                             name);
        int result = compilation->library->arch_add(compilation->context, token);
        if (result == -EEXIST)
            continue;
        if (result < 0)
            return error_set(err, -result, "linux.seccomp.architectures: can't add %s", name);
        compilation->architectures[compilation->architecture_count++] = token;
    }
    return 0;
}

static int translate_conditions(const struct config_seccomp_rule *rule,
                                struct scmp_arg_cmp conditions[], bool *repeated, struct error *err)
{
    unsigned int seen = 0;
    *repeated = false;
    for (size_t i = 0; i < rule->argument_count; i++) {
        const struct config_seccomp_argument *argument = &rule->arguments[i];
        int comparison = seccomp_find_name(seccomp_operators(), argument->op);
        if (comparison < 0)
            return error_set(err, 0, "linux.seccomp: unknown operator %s", argument->op);
        if (argument->index >= ARGUMENT_COUNT)
            return error_set(err, 0, "linux.seccomp: argument index %u is above %d",
                             argument->index, ARGUMENT_COUNT - 1);
        /* For MASKED_EQ datum_a is the mask and datum_b the value; others ignore datum_b. */
        conditions[i] = (struct scmp_arg_cmp){.arg = argument->index,
                                              .op = seccomp_operator_value(comparison),
                                              .datum_a = argument->value,
                                              .datum_b = argument->value_two};
        *repeated |= seen >> argument->index & 1;
        seen |= 1U << argument->index;
    }
    return 0;
}

static int add_rule(const struct compilation *compilation, const char *name, uint32_t action,
                    const struct scmp_arg_cmp *conditions, size_t condition_count, bool repeated,
                    struct error *err)
{
    const struct seccomp_library *library = compilation->library;
    int number = library->syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) /* newer than this libseccomp: runc passes over it, too */
        return 0;
    /* All conditions of a rule must hold. But libseccomp takes one condition an argument; where a
     * profile has more, runc makes each condition a rule of its own, so that any suffices. */
    int result = 0;
    if (repeated) {
        for (size_t i = 0; i < condition_count && result == 0; i++)
            result =
                library->rule_add_array(compilation->context, action, number, 1, &conditions[i]);
    } else {
        result = library->rule_add_array(compilation->context, action, number,
                                         (unsigned int)condition_count, conditions);
    }
    if (result < 0)
        return error_set(err, -result, "linux.seccomp.syscalls: can't add a rule for %s", name);
    return 0;
}

static int add_rules(const struct compilation *compilation, struct error *err)
{
    const struct config_seccomp *seccomp = compilation->seccomp;
    for (size_t i = 0; i < seccomp->rule_count; i++) {
        const struct config_seccomp_rule *rule = &seccomp->rules[i];
        uint32_t action;
        bool repeated;
        if (translate_action(rule->action, rule->has_errno, rule->errno_value, "errnoRet", &action,
                             err) < 0)
            return -1;
        scope_free struct scmp_arg_cmp *conditions =
            memory_allocate(rule->argument_count, sizeof *conditions);
        if (translate_conditions(rule, conditions, &repeated, err) < 0)
            return -1;
        if (action == compilation->default_action) /* redundant; libseccomp would refuse it */
            continue;
        for (size_t name = 0; name < rule->names.count; name++) {
            if (add_rule(compilation, rule->names.items[name], action, conditions,
                         rule->argument_count, repeated, err) < 0)
                return -1;
        }
    }
    return 0;
}

static size_t count_names(const struct config_seccomp *seccomp)
{
    size_t count = 0;
    for (size_t i = 0; i < seccomp->rule_count; i++)
        count += seccomp->rules[i].names.count;
    return count;
}

/* ---- export ---- */

static bool wants_enosys_stub(uint32_t default_action)
{
    return default_action != SCMP_ACT_ALLOW && default_action != SCMP_ACT_LOG &&
           (default_action & SECCOMP_RET_ACTION_FULL) != SCMP_ACT_TRACE(0) &&
           default_action != SCMP_ACT_ERRNO(ENOSYS);
}

/* Takes the filter out of libseccomp, which (before 2.6) only writes to descriptors, and puts the
 * stub in front of it. */
static int export_filter(const struct compilation *compilation, struct sock_fprog *filter,
                         struct error *err)
{
    struct stat status;
    scope_close int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "can't make a file in memory for the seccomp filter");
    int result = compilation->library->export_bpf(compilation->context, fd);
    if (result < 0)
        return error_set(err, -result, "can't compile the seccomp filter");
    if (fstat(fd, &status) < 0)
        return error_set(err, errno, "can't read the compiled seccomp filter");
    size_t size = (size_t)status.st_size, count = size / sizeof(struct sock_filter);
    scope_free struct sock_filter *program = memory_allocate(
        SECCOMP_ENOSYS_ROOM(compilation->architecture_count) + count, sizeof *program);
    size_t stub = 0;
    if (wants_enosys_stub(compilation->default_action))
        stub = seccomp_enosys_build(compilation->library, compilation->seccomp,
                                    compilation->architectures, compilation->architecture_count,
                                    program);
    if (pread(fd, program + stub, size, 0) != (ssize_t)size)
        return error_set(err, EIO, "can't read the compiled seccomp filter");
    if (stub + count > BPF_MAXINSNS)
        return error_set(err, 0,
                         "linux.seccomp: the compiled filter has %zu instructions, and the kernel "
                         "takes at most %d",
                         stub + count, BPF_MAXINSNS);
    filter->len = (unsigned short)(stub + count);
    filter->filter = scope_take_pointer(program);
    return 0;
}

static int fill_context(struct compilation *compilation, struct error *err)
{
    if (add_architectures(compilation, err) < 0)
        return -1;
    /* libseccomp before 2.5 has no search tree, and does without. */
    if (count_names(compilation->seccomp) > SEARCH_TREE_THRESHOLD)
        compilation->library->attr_set(compilation->context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return add_rules(compilation, err);
}

static int compile(const struct seccomp_library *library, const struct config_seccomp *seccomp,
                   struct sock_fprog *filter, struct error *err)
{
    struct compilation compilation = {.library = library, .seccomp = seccomp};
    if (translate_action(seccomp->default_action, seccomp->has_default_errno,
                         seccomp->default_errno, "defaultErrnoRet", &compilation.default_action,
                         err) < 0)
        return -1;
    compilation.context = library->init(compilation.default_action);
    if (!compilation.context)
        return error_set(err, 0, "linux.seccomp: libseccomp refuses the default action %s",
                         seccomp->default_action);
    int result = fill_context(&compilation, err);
    if (result == 0)
        result = export_filter(&compilation, filter, err);
    library->release(compilation.context);
    return result;
}

int seccomp_compile_filter(const struct config_seccomp *seccomp, struct sock_fprog *filter,
                           char **library_path, struct error *err)
{
    scope_seccomp_library struct seccomp_library library = {0};
    *library_path = NULL;
    if (seccomp_library_open(&library, err) < 0 || compile(&library, seccomp, filter, err) < 0)
        return -1;
    const char *path = seccomp_library_path(&library);
    *library_path = path ? memory_copy_string(path) : NULL;
    return 0;
}
