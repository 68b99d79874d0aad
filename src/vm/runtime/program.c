#include "vm/runtime/verb.h"

#define FLAG_CONSOLE_SOCKET                                                                        \
    {                                                                                              \
        .name = "console-socket", .argument = "FILE",                                              \
        .help = "a Unix socket that receives the master end of the process's terminal"             \
    }
#define FLAG_PID_FILE                                                                              \
    {                                                                                              \
        .name = "pid-file", .argument = "FILE",                                                    \
        .help = "write the id of the process that stands for the guest's to this file"             \
    }

static const struct command_verb create = {
    .name = "create",
    .arguments = "ID",
    .summary = "begin to boot a virtual machine, whose program doesn't run yet",
    .description = "The bundle has config.json, as the OCI runtime specification describes it, and "
                   "machine.json, as hull writes it.",
    .flags =
        (const struct command_flag[]){
            {.name = "bundle",
             .letter = 'b',
             .argument = "DIRECTORY",
             .help = "the bundle",
             .default_text = "the current directory"},
            FLAG_CONSOLE_SOCKET,
            FLAG_PID_FILE,
            {0},
        },
    .min_arguments = 1,
    .max_arguments = 1,
    .makes_object = true,
};

static const struct command_verb start = {.name = "start",
                                          .arguments = "ID",
                                          .summary = "execute the program of a machine",
                                          .min_arguments = 1,
                                          .max_arguments = 1};

static const struct command_verb exec = {
    .name = "exec",
    .arguments = "ID [COMMAND...]",
    .summary = "execute another process in a machine",
    .flags =
        (const struct command_flag[]){
            {.name = "detach", .letter = 'd', .help = "return once the process runs"},
            {.name = "process",
             .letter = 'p',
             .argument = "FILE",
             .help = "an object `process` of the OCI runtime specification"},
            FLAG_CONSOLE_SOCKET,
            FLAG_PID_FILE,
            {0},
        },
    .min_arguments = 1,
    .max_arguments = -1,
    .options_first = true,
};

static const struct command_verb kill = {
    .name = "kill",
    .arguments = "ID [SIGNAL]",
    .summary = "send a signal (TERM) to the first process; KILL ends the machine at once",
    .min_arguments = 1,
    .max_arguments = 2};

static const struct command_verb delete = {
    .name = "delete",
    .arguments = "ID",
    .summary = "remove what is left of a machine",
    .flags =
        (const struct command_flag[]){
            {.name = "force", .letter = 'f', .help = "end it first; one that isn't there is fine"},
            {0}},
    .min_arguments = 1,
    .max_arguments = 1};

static const struct command_verb pause = {.name = "pause",
                                          .arguments = "ID",
                                          .summary = "stop a machine's processors",
                                          .min_arguments = 1,
                                          .max_arguments = 1};

static const struct command_verb resume = {.name = "resume",
                                           .arguments = "ID",
                                           .summary = "let a paused machine go on",
                                           .min_arguments = 1,
                                           .max_arguments = 1};

static const struct command_verb state = {.name = "state",
                                          .arguments = "ID",
                                          .summary = "print what becomes of a machine, as JSON",
                                          .min_arguments = 1,
                                          .max_arguments = 1};

static const struct command_verb events = {
    .name = "events",
    .arguments = "ID",
    .summary = "print what a machine's processes use, as JSON",
    .flags = (const struct command_flag[]){{.name = "stats", .help = "once"}, {0}},
    .min_arguments = 1,
    .max_arguments = 1};

static const struct command_verb ps = {.name = "ps",
                                       .arguments = "ID",
                                       .summary = "show a machine's processes",
                                       .min_arguments = 1,
                                       .max_arguments = -1,
                                       .options_first = true};

static const struct command_verb *const verbs[] = {&create, &delete, &events, &exec,  &kill, &pause,
                                                   &ps,     &resume, &start,  &state, NULL};

const struct command_program vm_program = {
    .name = "hull-vm",
    .summary = "run containers as virtual machines, with an OCI runtime's command line",
    .description = "What `hull run --isolation vm` executes. The machine's monitor is hull-vmm.",
    .flags =
        (const struct command_flag[]){
            {.name = "root",
             .argument = "DIRECTORY",
             .help = "where the state of machines is kept; should be on a tmpfs",
             .default_text = "/run/hull-vm"},
            {.name = "log",
             .argument = "FILE",
             .help = "append errors to this file",
             .default_text = "standard error"},
            {.name = "log-format",
             .argument = "FORMAT",
             .help = "text or json",
             .default_text = "text",
             .choices = "text json"},
            {0},
        },
    .verbs = verbs,
    .syntax = COMMAND_SYNTAX_GO,
};
