#include "vm/control/options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quantity.h"
#include "vm/control/control.h"
#include "vm/control/http.h"

#define DEFAULT_SOCKET "/run/firecracker.socket"
#define DEFAULT_ID "anonymous-instance"

static const struct command_flag flags[] = {
    {.name = "api-sock",
     .argument = "PATH",
     .help = "Unix socket of the API",
     .default_text = DEFAULT_SOCKET},
    {.name = "no-api", .help = "serve no API; needs --config-file"},
    {.name = "config-file",
     .argument = "FILE",
     .help = "JSON with all settings: the VM starts at once"},
    {.name = "metadata", .argument = "FILE", .help = "JSON to put into the metadata service"},
    {.name = "id",
     .argument = "ID",
     .help = "identifier of the VM: letters, digits and dashes",
     .default_text = DEFAULT_ID},
    {.name = "engine",
     .argument = "ENGINE",
     .help = "what runs the processors",
     .default_text = "auto",
     .choices = "auto kvm bt"},
    {.name = "irqchip",
     .argument = "WHERE",
     .help = "whose interrupt controllers and timers the board has: the kernel's or the monitor's",
     .default_text = "kernel",
     .choices = "kernel user"},
    {.name = "enable-pci", .help = "put the devices on a PCI bus, not on virtio-mmio"},
    {.name = "gdb", .argument = "SOCKET", .help = "wait on this Unix socket for a debugger"},
    {.name = "boot-timer", .help = "log the time from the start to the guest's signal"},
    {.name = "log-path", .argument = "FILE", .help = "file or named pipe of the log"},
    {.name = "level",
     .argument = "LEVEL",
     .help = "what is logged: Off, Error, Warning, Info, Debug or Trace",
     .default_text = "Info"},
    {.name = "module",
     .argument = "PREFIX",
     .help = "log only what comes from source files that begin so, such as vm/device/"},
    {.name = "show-level", .help = "log the level of each message"},
    {.name = "show-log-origin", .help = "log file and line of each message"},
    {.name = "metrics-path", .argument = "FILE", .help = "file or named pipe of the metrics"},
    {.name = "http-api-max-payload-size",
     .argument = "BYTES",
     .help = "the largest body of a request",
     .default_text = "51200"},
    {.name = "mmds-size-limit",
     .argument = "BYTES",
     .help = "the largest metadata",
     .default_text = "as --http-api-max-payload-size"},
    {.name = "no-seccomp", .help = "don't confine the threads with seccomp (for debugging)"},
    {.name = "seccomp-filter",
     .argument = "FILE",
     .help = "refused: hull-vmm's filters are built in",
     .hidden = true},
    {.name = "start-time-us",
     .argument = "N",
     .help = "monotonic time at which the process was started, for the metrics"},
    {.name = "start-time-cpu-us",
     .argument = "N",
     .help = "processor time of the process when it was started"},
    {.name = "parent-cpu-time-us", .argument = "N", .help = "processor time of who started it"},
    {.name = "snapshot-version", .help = "refused: snapshots come with migration", .hidden = true},
    {.name = "describe-snapshot",
     .argument = "FILE",
     .help = "refused: snapshots come with migration",
     .hidden = true},
    {.name = "jail",
     .argument = "DIRECTORY",
     .help = "lock the monitor up: make this its root directory, and drop all rights"},
    {.name = "uid", .argument = "N", .help = "with --jail: the user to become"},
    {.name = "gid", .argument = "N", .help = "with --jail: the group to become"},
    {.name = "netns", .argument = "FILE", .help = "with --jail: network namespace to join"},
    {.name = "cgroup", .argument = "DIRECTORY", .help = "with --jail: control group to join"},
    {.name = "new-pid-ns", .help = "with --jail: a process namespace of its own"},
    {.name = "resource-limit",
     .argument = "NAME=N",
     .help = "with --jail: fsize or no-file, and its limit",
     .repeats = true},
    {0},
};

static const struct command_verb run = {
    .name = "run",
    .summary = "run one virtual machine",
    .description =
        "Without a verb, this one is meant. The machine is configured over the API, which is "
        "Firecracker's, and started by its InstanceStart; or described by --config-file and "
        "started at once.\n\n"
        " hull-vmm --api-sock /tmp/vm.socket\n hull-vmm --no-api --config-file vm.json",
    .flags = flags,
};

static const struct command_verb *const verbs[] = {&run, NULL};

const struct command_program vm_options_program = {
    .name = "hull-vmm",
    .summary = "hull's virtual machine monitor: one process a machine",
    .description = "The API is that of Firecracker " CONTROL_API_VERSION
                   "; see docs/vm-api.md for what differs.",
    .verbs = verbs,
    .syntax = COMMAND_SYNTAX_POSIX,
};

/* A number of a flag; *out stays as it is without it. */
static int read_number(const struct command_line *line, const char *name, int64_t minimum,
                       int64_t maximum, int64_t *out, struct error *err)
{
    const char *text = command_value(line, name);
    if (!text || quantity_read_integer(text, minimum, maximum, out))
        return 0;
    return error_set(err, 0, "--%s %.64s: expected a number from %lld to %lld", name, text,
                     (long long)minimum, (long long)maximum);
}

static int check_id(const char *id, struct error *err)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    size_t length = strlen(id);
    if (length < 1 || length > VM_MAX_ID_LENGTH || strspn(id, known) != length)
        return error_set(err, 0,
                         "--id %.80s: Invalid instance ID: expected 1 to %d letters, "
                         "digits and dashes",
                         id, VM_MAX_ID_LENGTH);
    return 0;
}

static int read_logger(struct vm_options *options, struct error *err)
{
    static const char *const names[] = {"Off", "Error", "Warning", "Info", "Debug", "Trace"};
    const struct command_line *line = &options->line;
    const char *level = command_value(line, "level");
    struct logger_settings *logger = &options->logger;
    *logger = (struct logger_settings){.path = (char *)(uintptr_t)command_value(line, "log-path"),
                                       .level = LOG_LEVEL_INFO,
                                       .level_given = level != NULL,
                                       .show_level_given = command_given(line, "show-level"),
                                       .show_level = true,
                                       .show_origin_given = command_given(line, "show-log-origin"),
                                       .show_origin = true,
                                       .module = (char *)(uintptr_t)command_value(line, "module")};
    logger->given = logger->path || level || logger->show_level_given ||
                    logger->show_origin_given || logger->module;
    for (size_t i = 0; level && i < sizeof names / sizeof *names; i++) {
        if (strcasecmp(level, names[i]) == 0 ||
            (i == LOG_LEVEL_WARNING && strcasecmp(level, "warn") == 0)) {
            logger->level = (enum log_level)i;
            return 0;
        }
    }
    return level ? error_set(err, 0,
                             "--level %.64s: expected Off, Error, Warning, Info, Debug or "
                             "Trace",
                             level)
                 : 0;
}

static int read_sizes(struct vm_options *options, struct error *err)
{
    const struct command_line *line = &options->line;
    int64_t body = API_SERVER_DEFAULT_LIMIT, metadata, start = 0, cpu = 0, parent = 0;
    if (read_number(line, "http-api-max-payload-size", 1, 1 << 30, &body, err) < 0)
        return -1;
    metadata = body;
    if (read_number(line, "mmds-size-limit", 1, 1 << 30, &metadata, err) < 0 ||
        read_number(line, "start-time-us", 0, INT64_MAX, &start, err) < 0 ||
        read_number(line, "start-time-cpu-us", 0, INT64_MAX, &cpu, err) < 0 ||
        read_number(line, "parent-cpu-time-us", 0, INT64_MAX, &parent, err) < 0)
        return -1;
    options->body_limit = (size_t)body;
    options->metadata_limit = (size_t)metadata;
    options->start_time_us = (uint64_t)start;
    options->start_time_cpu_us = (uint64_t)cpu;
    options->parent_cpu_time_us = (uint64_t)parent;
    return 0;
}

static int read_jail(struct vm_options *options, struct error *err)
{
    static const char *const dependents[] = {"uid",    "gid",        "netns",
                                             "cgroup", "new-pid-ns", "resource-limit"};
    struct command_line *line = &options->line;
    struct jail_options *jail = &options->jail;
    int64_t uid = 0, gid = 0;
    jail->directory = command_value(line, "jail");
    for (size_t i = 0; !jail->directory && i < sizeof dependents / sizeof *dependents; i++) {
        if (command_given(line, dependents[i]))
            return error_set(err, 0, "--%s means something only with --jail", dependents[i]);
    }
    if (!jail->directory)
        return 0;
    if (!command_value(line, "uid") || !command_value(line, "gid"))
        return error_set(err, 0, "--jail needs --uid and --gid: whom the monitor runs as");
    if (read_number(line, "uid", 0, UINT32_MAX - 1, &uid, err) < 0 ||
        read_number(line, "gid", 0, UINT32_MAX - 1, &gid, err) < 0)
        return -1;
    jail->uid = (uid_t)uid;
    jail->gid = (gid_t)gid;
    jail->network_namespace = command_value(line, "netns");
    jail->cgroup = command_value(line, "cgroup");
    jail->new_pid_namespace = command_given(line, "new-pid-ns");
    jail->limit_count = command_values(line, "resource-limit", &jail->limits);
    return 0;
}

static int refuse_flags(const struct vm_options *options, struct error *err)
{
    const struct command_line *line = &options->line;
    if (command_given(line, "seccomp-filter"))
        return error_set(err, 0,
                         "--seccomp-filter: hull-vmm's filters are built in, one for each "
                         "kind of thread; leave the flag out (--no-seccomp is for "
                         "debugging)");
    if (command_given(line, "snapshot-version") || command_given(line, "describe-snapshot"))
        return error_set(err, 0,
                         "snapshots come with hull's migration, which this hull-vmm "
                         "doesn't have");
    if (command_given(line, "no-api") && command_given(line, "api-sock"))
        return error_set(err, 0, "--no-api and --api-sock exclude each other");
    if (command_given(line, "no-api") && !command_given(line, "config-file"))
        return error_set(err, 0, "--no-api needs --config-file: nothing else could start a VM");
    return 0;
}

static int read_options(struct vm_options *options, struct error *err)
{
    const struct command_line *line = &options->line;
    const char *id = command_value(line, "id"), *engine = command_value(line, "engine"),
               *socket = command_value(line, "api-sock"), *irqchip = command_value(line, "irqchip");
    options->id = id ? id : DEFAULT_ID;
    options->api_socket = command_given(line, "no-api") ? NULL : socket ? socket : DEFAULT_SOCKET;
    options->config_file = command_value(line, "config-file");
    options->metadata_file = command_value(line, "metadata");
    options->metrics_path = command_value(line, "metrics-path");
    options->boot_timer = command_given(line, "boot-timer");
    options->seccomp = !command_given(line, "no-seccomp");
    options->pci = command_given(line, "enable-pci");
    options->engine = engine && strcmp(engine, "kvm") == 0  ? VM_ENGINE_KVM
                      : engine && strcmp(engine, "bt") == 0 ? VM_ENGINE_BT
                                                            : VM_ENGINE_AUTO;
    options->user_interrupts = irqchip && strcmp(irqchip, "user") == 0;
    options->gdb_socket = command_value(line, "gdb");
    return check_id(options->id, err) < 0 || read_logger(options, err) < 0 ||
                   read_sizes(options, err) < 0 || read_jail(options, err) < 0
               ? -1
               : refuse_flags(options, err);
}

/* The command line with the verb, which people leave out. */
static char **with_verb(struct arena *arena, int argc, char **argv, int *count)
{
    char **all = arena_allocate(arena, (size_t)argc + 2, sizeof *all);
    /* --version is the program's, not the verb's. */
    bool is_named = argc > 1 && (argv[1][0] != '-' || strcmp(argv[1], "--version") == 0 ||
                                 strcmp(argv[1], "-v") == 0);
    int at = 0;
    all[at++] = argc > 0 ? argv[0] : (char *)(uintptr_t)vm_options_program.name;
    if (!is_named)
        all[at++] = (char *)(uintptr_t)run.name;
    for (int i = 1; i < argc; i++)
        all[at++] = argv[i];
    *count = at;
    return all;
}

int vm_options_read(struct vm_options *options, int argc, char **argv, struct error *err)
{
    struct arena arena = {0};
    int count;
    *options = (struct vm_options){0};
    char **words = with_verb(&arena, argc, argv, &count);
    int status = command_parse(&vm_options_program, count, words, &options->line, err);
    /* What it keeps of words is argv's, but for the list of arguments, of which there are none. */
    arena_release(&arena);
    if (status < 0)
        return -1;
    if (options->line.action == COMMAND_SHOW_HELP) {
        command_print_help(&vm_options_program, options->line.verb, stdout);
        return 1;
    }
    if (options->line.action == COMMAND_SHOW_VERSION) {
        printf("hull-vmm %s (API of Firecracker %s)\n", HULL_VERSION, CONTROL_API_VERSION);
        return 1;
    }
    return read_options(options, err);
}

void vm_options_release(struct vm_options *options)
{
    command_release(&options->line);
}
