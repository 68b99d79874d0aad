/* hull-vm: a runtime whose containers are virtual machines. It has the command line of an OCI
 * runtime, so that who runs containers with hull-oci runs machines with this. */
#include <stdio.h>
#include <string.h>

#include "oci/verb/log.h"
#include "vm/runtime/verb.h"

static const struct {
    const char *name;
    int (*run)(const struct verb_context *context, struct error *err);
} verbs[] = {
    {"create", verb_create}, {"delete", verb_delete}, {"events", verb_events},
    {"exec", verb_exec},     {"kill", verb_kill},     {"pause", verb_pause},
    {"ps", verb_ps},         {"resume", verb_resume}, {"start", verb_start},
    {"state", verb_state},
};

static int act(struct command_line *line, const struct log *log)
{
    struct error err = {0};
    const char *root = command_global_value(line, "root");
    const struct verb_context context = {
        .line = line, .root = root ? root : "/run/hull-vm", .id = line->arguments[0]};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, line->verb->name) != 0)
            continue;
        if (verbs[i].run(&context, &err) == 0)
            return 0;
        if (log->fd >= 0)
            log_write(log, "error", err.text);
        fprintf(stderr, "hull-vm: %s: '%s': %s\n", line->verb->name, context.id, err.text);
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct log log = {.fd = -1};
    struct error err = {0};
    int status = command_parse(&vm_program, argc, argv, &line, &err);
    const char *format = command_global_value(&line, "log-format");
    if (status == 0)
        status = log_open(&log, command_global_value(&line, "log"),
                          format && strcmp(format, "json") == 0, false, &err);
    if (status < 0) {
        fprintf(stderr, "hull-vm: %s\n", err.text);
        status = 1;
    } else if (line.action == COMMAND_SHOW_HELP) {
        command_print_help(&vm_program, line.verb, stdout);
    } else if (line.action == COMMAND_SHOW_VERSION) {
        printf("hull-vm version %s\n", HULL_VERSION);
    } else {
        status = act(&line, &log);
    }
    command_release(&line);
    return status;
}
