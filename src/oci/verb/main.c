/* hull-oci: an OCI runtime with runc's command line. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "base/user_namespace.h"
#include "container/exe_guard.h"
#include "container/hand_over.h"
#include "container/seccomp.h"
#include "oci/program.h"
#include "oci/verb/verb.h"

static const struct {
    const char *name;
    int (*run)(struct verb_context *context, struct error *err);
} verbs[] = {
    {"create", verb_create}, {"delete", verb_delete},     {"events", verb_events},
    {"exec", verb_exec},     {"features", verb_features}, {"kill", verb_kill},
    {"list", verb_list},     {"pause", verb_pause},       {"ps", verb_ps},
    {"resume", verb_resume}, {"run", verb_run},           {"spec", verb_spec},
    {"start", verb_start},   {"state", verb_state},       {"update", verb_update},
};

/* A closed standard stream would be the next file we open, and the container's to write to. */
static void open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(1);
    }
}

static void print_version(void)
{
    char library[32];
    int known = seccomp_library_version(library, sizeof library, NULL);
    /* In runc's layout: clients look for "spec:" and for the number after "version". */
    printf("hull-oci version %s\nspec: 1.2.0\n", HULL_VERSION);
    if (known == 0)
        printf("libseccomp: %s\n", library);
}

/* An ordinary user, or root of a user namespace that isn't the first. */
static bool is_rootless(void)
{
    return geteuid() != 0 || !user_namespace_is_first();
}

static char *default_root(void)
{
    /* Podman's ordinary users come as root of a user namespace: /run isn't theirs there either. */
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && *runtime && is_rootless())
        return memory_format("%s/hull-oci", runtime);
    return memory_copy_string("/run/hull-oci");
}

/* --rootless true, false or auto */
static bool decide_rootless(const char *mode)
{
    if (mode && strcmp(mode, "auto") != 0)
        return strcmp(mode, "true") == 0;
    return is_rootless();
}

static int run_verb(struct verb_context *context, struct error *err)
{
    const char *name = context->line->verb->name;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return verbs[i].run(context, err);
    }
    return error_set(err, 0, "no such verb");
}

/* The one line that says what went wrong, to the person and to the log. line: NULL if the text
 * names the verb itself. */
static void report(const struct command_line *line, const struct log *log, const char *text)
{
    if (log->fd >= 0)
        log_write(log, "error", text);
    if (line && line->verb && line->argument_count > 0)
        fprintf(stderr, "hull-oci: %s: '%s': %s\n", line->verb->name, line->arguments[0], text);
    else if (line && line->verb)
        fprintf(stderr, "hull-oci: %s: %s\n", line->verb->name, text);
    else
        fprintf(stderr, "hull-oci: %s\n", text);
}

struct log_warnings {
    struct warnings warnings;
    const struct log *log;
};

static void log_warning(const struct warnings *warnings, const char *text)
{
    log_write(((const struct log_warnings *)warnings)->log, "warning", text);
}

/* --debug: what was asked of us, and how it ended. */
__attribute__((format(printf, 2, 3))) static void debug(const struct verb_context *context,
                                                        const char *format, ...)
{
    if (!context->log->debug)
        return;
    va_list arguments;
    scope_free char *text = NULL;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    const struct command_line *line = context->line;
    scope_free char *message = memory_format(
        "%s '%s' %s", line->verb->name, line->argument_count > 0 ? line->arguments[0] : "", text);
    log_write(context->log, "debug", message);
}

static void log_note(const struct warnings *warnings, const char *text)
{
    log_write(((const struct log_warnings *)warnings)->log, "debug", text);
}

static int act(struct command_line *line, const struct log *log)
{
    const struct log_warnings warnings = {{log_warning, log->debug ? log_note : NULL}, log};
    struct error err = {0};
    scope_free char *root = default_root();
    const char *given = command_global_value(line, "root");
    struct verb_context context = {
        .line = line,
        .log = log,
        .warnings = &warnings.warnings,
        .root = given ? given : root,
        .systemd_cgroup = command_global_given(line, "systemd-cgroup"),
        .rootless = decide_rootless(command_global_value(line, "rootless")),
    };
    context.root = verb_absolute_path(&context, context.root);
    debug(&context, "begins, with the containers of %s%s%s", context.root,
          context.rootless ? ", rootless" : "",
          context.systemd_cgroup ? ", with cgroups made by systemd" : "");
    int result = run_verb(&context, &err);
    if (result < 0)
        report(line, log, err.text);
    if (result < 0 && context.exit_status == 0)
        context.exit_status = 1;
    debug(&context, "ends with status %d", context.exit_status);
    return context.exit_status;
}

#ifdef __SANITIZE_ADDRESS__
/* The leak checker traces its process from a thread that it makes at exit. After exec has joined
 * the container's pid namespace that thread is born there, finds nobody, and is waited for for
 * ever. The unit tests and fuzz targets look for leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
    struct command_line line;
    struct log log = {.fd = -1};
    struct error err = {0}, log_error = {0};
    open_standard_streams();
    hand_over_prepare(argv);
    if (exe_guard_copy(argv, &err) < 0) {
        fprintf(stderr, "hull-oci: %s\n", err.text);
        return 1;
    }
    int parsed = command_parse(&oci_program, argc, argv, &line, &err);
    const char *format = command_global_value(&line, "log-format");
    int logging =
        log_open(&log, command_global_value(&line, "log"), format && strcmp(format, "json") == 0,
                 command_global_given(&line, "debug"), &log_error);
    int status = 0;
    if (parsed < 0 || logging < 0) {
        report(parsed < 0 ? NULL : &line, &log, parsed < 0 ? err.text : log_error.text);
        status = 1;
    } else if (line.action == COMMAND_SHOW_HELP) {
        command_print_help(&oci_program, line.verb, stdout);
    } else if (line.action == COMMAND_SHOW_VERSION) {
        print_version();
    } else {
        status = act(&line, &log);
    }
    if (fflush(stdout) != 0 && status == 0) {
        fprintf(stderr, "hull-oci: can't write to standard output: %s\n", strerror(errno));
        status = 1;
    }
    command_release(&line);
    return status;
}
