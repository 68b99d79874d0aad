#include "oci/program.h"

/* Flags that several verbs have. */
#define FLAG_BUNDLE                                                                                \
    {                                                                                              \
        .name = "bundle", .letter = 'b', .argument = "DIRECTORY",                                  \
        .help = "the bundle: a directory with config.json and the root file system",               \
        .default_text = "the current directory"                                                    \
    }
#define FLAG_CONSOLE_SOCKET                                                                        \
    {                                                                                              \
        .name = "console-socket", .argument = "FILE",                                              \
        .help = "a Unix socket that receives the master end of the process's terminal"             \
    }
#define FLAG_PIDFD_SOCKET                                                                          \
    {                                                                                              \
        .name = "pidfd-socket", .argument = "FILE",                                                \
        .help = "a Unix socket that receives a descriptor (pidfd) of the process"                  \
    }
#define FLAG_PID_FILE                                                                              \
    {                                                                                              \
        .name = "pid-file", .argument = "FILE", .help = "write the process id to this file"        \
    }
#define FLAG_NO_PIVOT                                                                              \
    {                                                                                              \
        .name = "no-pivot",                                                                        \
        .help = "change the root with chroot instead of pivot_root, for a root file system on "    \
                "a RAM disk; a process with CAP_SYS_CHROOT can then leave it"                      \
    }
#define FLAG_NO_NEW_KEYRING                                                                        \
    {                                                                                              \
        .name = "no-new-keyring",                                                                  \
        .help = "inherit the caller's session keyring instead of making a new one"                 \
    }
#define FLAG_PRESERVE_FDS                                                                          \
    {                                                                                              \
        .name = "preserve-fds", .argument = "N",                                                   \
        .help = "pass N more descriptors, from 3 (after those of LISTEN_FDS) on",                  \
        .default_text = "0"                                                                        \
    }
/* What create and run have in common. */
#define FLAGS_OF_CREATION                                                                          \
    FLAG_BUNDLE, FLAG_CONSOLE_SOCKET, FLAG_PIDFD_SOCKET, FLAG_PID_FILE, FLAG_NO_PIVOT,             \
        FLAG_NO_NEW_KEYRING, FLAG_PRESERVE_FDS
#define FLAG_FORMAT                                                                                \
    {                                                                                              \
        .name = "format", .letter = 'f', .argument = "FORMAT", .help = "table or json",            \
        .default_text = "table", .choices = "table json"                                           \
    }
#define FLAG_DETACH                                                                                \
    {                                                                                              \
        .name = "detach", .letter = 'd', .help = "return once the process runs"                    \
    }

static const struct command_verb verb_create = {
    .name = "create",
    .arguments = "CONTAINER-ID",
    .summary = "create a container",
    .description =
        "Makes the container that the bundle's config.json describes: its namespaces, cgroup, "
        "mounts and init process, which waits for 'hull-oci start' before it executes the "
        "configured program. CONTAINER-ID is a name of your choice, unique below --root.",
    .flags =
        (const struct command_flag[]){
            FLAGS_OF_CREATION,
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
    .makes_object = true,
};

static const struct command_verb verb_start = {
    .name = "start",
    .arguments = "CONTAINER-ID",
    .summary = "execute the program of a created container",
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_run = {
    .name = "run",
    .arguments = "CONTAINER-ID",
    .summary = "create and start a container, wait for it and delete it",
    .description =
        "As create and start in one. Without --detach hull-oci stays until the program ends, "
        "passes signals on to it, deletes the container and exits with the program's status "
        "(128 and the signal's number if a signal ended it).",
    .flags =
        (const struct command_flag[]){
            FLAGS_OF_CREATION,
            FLAG_DETACH,
            {.name = "keep", .help = "keep the container after its program has ended"},
            {.name = "no-subreaper",
             .help = "don't adopt the orphans among the container's processes"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
    .makes_object = true,
};

static const struct command_verb verb_state = {
    .name = "state",
    .arguments = "CONTAINER-ID",
    .summary = "print the state of a container as JSON",
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_kill = {
    .name = "kill",
    .arguments = "CONTAINER-ID [SIGNAL]",
    .summary = "send a signal to a container's init process",
    .description = "SIGNAL is a name, with or without SIG, or a number; TERM if it isn't given.\n"
                   "\n"
                   "    hull-oci kill web HUP",
    .flags =
        (const struct command_flag[]){
            {.name = "all", .letter = 'a', .help = "send it to all processes of the container"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 2,
};

static const struct command_verb verb_delete = {
    .name = "delete",
    .arguments = "CONTAINER-ID",
    .summary = "delete a container and all that was made for it",
    .flags =
        (const struct command_flag[]){
            {.name = "force",
             .letter = 'f',
             .help = "kill it first if it runs, and don't mind if it doesn't exist"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_exec = {
    .name = "exec",
    .arguments = "CONTAINER-ID COMMAND [ARGUMENT...]",
    .summary = "execute another process inside a running container",
    .description =
        "The process joins the container's namespaces, cgroup and labels. What no flag says comes "
        "from the process that config.json describes, or from the file given by --process; "
        "COMMAND may then be left out.\n"
        "\n"
        "    hull-oci exec --tty web sh\n"
        "    hull-oci exec --process process.json web",
    .flags =
        (const struct command_flag[]){
            FLAG_CONSOLE_SOCKET,
            FLAG_PIDFD_SOCKET,
            {.name = "cwd", .argument = "PATH", .help = "its working directory in the container"},
            {.name = "env",
             .letter = 'e',
             .argument = "NAME=VALUE",
             .help = "set an environment variable",
             .repeats = true},
            {.name = "tty", .letter = 't', .help = "give it a terminal"},
            {.name = "user", .letter = 'u', .argument = "UID[:GID]", .help = "run it as this user"},
            {.name = "additional-gids",
             .letter = 'g',
             .argument = "GID",
             .help = "put it into one more group",
             .repeats = true},
            {.name = "process",
             .letter = 'p',
             .argument = "FILE",
             .help = "read the process from this JSON file"},
            FLAG_DETACH,
            FLAG_PID_FILE,
            {.name = "process-label", .argument = "LABEL", .help = "its SELinux label"},
            {.name = "apparmor", .argument = "PROFILE", .help = "its AppArmor profile"},
            {.name = "no-new-privs", .help = "let it gain no privileges by executing programs"},
            {.name = "cap",
             .letter = 'c',
             .argument = "CAPABILITY",
             .help = "add a capability to its bounding, effective and permitted sets",
             .repeats = true},
            FLAG_PRESERVE_FDS,
            {.name = "cgroup",
             .argument = "[CONTROLLER:]PATH",
             .help = "run it in this existing cgroup below the container's",
             .repeats = true},
            {.name = "ignore-paused",
             .help = "allow a paused container; the process waits until it resumes"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = -1,
    .options_first = true,
};

static const struct command_verb verb_ps = {
    .name = "ps",
    .arguments = "CONTAINER-ID [PS-OPTION...]",
    .summary = "show the processes inside a container",
    .description = "The table is what ps(1) prints with the options given (default: -ef), without "
                   "the processes that aren't the container's; json is a list of process ids.",
    .flags = (const struct command_flag[]){FLAG_FORMAT, {0}},
    .min_arguments = 1,
    .max_arguments = -1,
    .options_first = true,
};

static const struct command_verb verb_list = {
    .name = "list",
    .summary = "list the containers below --root",
    .flags =
        (const struct command_flag[]){
            FLAG_FORMAT,
            {.name = "quiet", .letter = 'q', .help = "print only their ids"},
            {0},
        },
};

static const struct command_verb verb_pause = {
    .name = "pause",
    .arguments = "CONTAINER-ID",
    .summary = "freeze all processes of a container",
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_resume = {
    .name = "resume",
    .arguments = "CONTAINER-ID",
    .summary = "let the processes of a paused container go on",
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_update = {
    .name = "update",
    .arguments = "CONTAINER-ID",
    .summary = "change the resource limits of a container",
    .description = "Only what is given changes; BYTES may end in k, m, g or t. With --resources "
                   "all other flags but those for Intel RDT are "
                   "ignored; the file holds an object as linux.resources in config.json:\n"
                   "\n"
                   "    {\"memory\": {\"limit\": 67108864}, \"cpu\": {\"shares\": 512}}",
    .flags =
        (const struct command_flag[]){
            {.name = "resources",
             .letter = 'r',
             .argument = "FILE",
             .help = "read the limits from this JSON file, or from standard input where it is -"},
            {.name = "blkio-weight", .argument = "N", .help = "weight in block I/O, 10 to 1000"},
            {.name = "cpu-period",
             .argument = "MICROSECONDS",
             .help = "the period of the CPU limit; 0 for the system's default"},
            {.name = "cpu-quota",
             .argument = "MICROSECONDS",
             .help = "CPU time allowed in a period; -1 for no limit"},
            {.name = "cpu-burst",
             .argument = "MICROSECONDS",
             .help = "unused CPU time that later periods may use"},
            {.name = "cpu-share", .argument = "N", .help = "weight in CPU time"},
            {.name = "cpu-rt-period",
             .argument = "MICROSECONDS",
             .help = "the period of the real-time CPU limit; 0 for the system's default"},
            {.name = "cpu-rt-runtime",
             .argument = "MICROSECONDS",
             .help = "real-time CPU time allowed in a period"},
            {.name = "cpuset-cpus", .argument = "LIST", .help = "processors to use, as 0-2,4"},
            {.name = "cpuset-mems", .argument = "LIST", .help = "memory nodes to use"},
            {.name = "kernel-memory",
             .argument = "BYTES",
             .help = "without effect: kernels no longer have this limit",
             .hidden = true},
            {.name = "kernel-memory-tcp",
             .argument = "BYTES",
             .help = "without effect: kernels no longer have this limit",
             .hidden = true},
            {.name = "memory", .argument = "BYTES", .help = "memory limit; -1 for none"},
            {.name = "cpu-idle",
             .argument = "0|1",
             .help = "whether the processes run only when nothing else does (SCHED_IDLE)"},
            {.name = "memory-reservation",
             .argument = "BYTES",
             .help = "memory left to the container when memory gets scarce (soft limit)"},
            {.name = "memory-swap",
             .argument = "BYTES",
             .help = "limit of memory and swap together; -1 for none"},
            {.name = "pids-limit",
             .argument = "N",
             .help = "the largest number of processes and threads; -1 for no limit"},
            {.name = "l3-cache-schema",
             .argument = "SCHEMA",
             .help = "the Intel RDT schema of the L3 cache"},
            {.name = "mem-bw-schema",
             .argument = "SCHEMA",
             .help = "the Intel RDT schema of the memory bandwidth"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_verb verb_spec = {
    .name = "spec",
    .summary = "write a config.json to start from",
    .description = "The file runs sh in the directory rootfs, with the namespaces, mounts and "
                   "capabilities that containers usually have. An existing file is an error.",
    .flags =
        (const struct command_flag[]){
            {.name = "bundle",
             .letter = 'b',
             .argument = "DIRECTORY",
             .help = "write it into this directory",
             .default_text = "the current directory"},
            {.name = "rootless",
             .help = "write one for a user without privileges, with a user namespace"},
            {0},
        },
};

static const struct command_verb verb_features = {
    .name = "features",
    .summary = "print what this program and this kernel support, as JSON",
    .description = "The document is the one that features.md of the OCI runtime specification "
                   "describes.",
};

static const struct command_verb verb_events = {
    .name = "events",
    .arguments = "CONTAINER-ID",
    .summary = "show what a container uses, and when it runs out of memory",
    .description = "Prints a line of JSON for each event and at each interval, until the "
                   "container stops.",
    .flags =
        (const struct command_flag[]){
            {.name = "interval",
             .argument = "DURATION",
             .help = "time between two lines of statistics, as 500ms, 5s or 1m30s",
             .default_text = "5s"},
            {.name = "stats", .help = "print the statistics once and exit"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
};

static const struct command_flag global_flags[] = {
    {.name = "debug", .help = "log what is done, step by step"},
    {.name = "log",
     .argument = "FILE",
     .help = "append log lines to this file",
     .default_text = "standard error"},
    {.name = "log-format",
     .argument = "FORMAT",
     .help = "text or json",
     .default_text = "text",
     .choices = "text json"},
    {.name = "root",
     .argument = "DIRECTORY",
     .help = "where the state of containers is kept; should be on a tmpfs",
     .default_text = "/run/hull-oci, or $XDG_RUNTIME_DIR/hull-oci for users other than root"},
    {.name = "criu", .argument = "FILE", .help = "without effect, as in runc", .hidden = true},
    {.name = "systemd-cgroup",
     .help = "let systemd make the cgroups; cgroupsPath is then \"slice:prefix:name\""},
    {.name = "rootless",
     .argument = "MODE",
     .help = "whether to go on without cgroups that one may not make: true, false or auto",
     .default_text = "auto",
     .choices = "true false auto"},
    {0},
};

static const struct command_verb *const verbs[] = {
    &verb_create, &verb_delete, &verb_events, &verb_exec,   &verb_features, &verb_kill,
    &verb_list,   &verb_pause,  &verb_ps,     &verb_resume, &verb_run,      &verb_spec,
    &verb_start,  &verb_state,  &verb_update, NULL,
};

static const struct command_section sections[] = {
    {"EXIT STATUS",
     "0 on success, 1 after an error (255 where exec can't start its process), which is one line "
     "on "
     "standard error and in the log. run and exec without --detach exit with the status of the "
     "container's program."},
    {"FILES",
     "config.json in the bundle describes the container, as the OCI runtime specification says.\n"
     "/run/hull-oci holds the state of the containers that root made."},
    {"ENVIRONMENT", "XDG_RUNTIME_DIR: for users other than root, where the state is kept.\n"
                    "LISTEN_FDS: how many descriptors, from 3 on, are passed into the container."},
    {"EXAMPLE", "    mkdir -p bundle/rootfs/bin\n"
                "    cp /bin/busybox bundle/rootfs/bin/sh\n"
                "    hull-oci spec --bundle bundle\n"
                "    hull-oci run --bundle bundle first"},
    {"SEE ALSO", "The OCI runtime specification, https://github.com/opencontainers/runtime-spec.\n"
                 "namespaces(7), cgroups(7), capabilities(7)"},
    {0},
};

const struct command_program oci_program = {
    .name = "hull-oci",
    .summary = "run containers as the Open Container Initiative specifies",
    .description = "A container is made from a bundle: a directory with a config.json and a root "
                   "file system. The commands and flags are runc's.",
    .flags = global_flags,
    .verbs = verbs,
    .sections = sections,
    .list_objects = "hull-oci list -q",
};
