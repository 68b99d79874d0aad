/* hull: the command. There is no daemon behind it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/verb.h"
#include "engine/rootless.h"

#define STATUS_FAILED 125 /* docker's: the fault is hull's, not the container's program's */

static void print_warning(const struct warnings *warnings, const char *text)
{
    (void)warnings;
    fprintf(stderr, "hull: warning: %s\n", text);
}

/* $VARIABLE/hull, $HOME/REST/hull, or system_path for root. */
static char *choose_directory(const char *system_path, const char *variable, const char *rest)
{
    if (geteuid() == 0)
        return memory_copy_string(system_path);
    const char *base = getenv(variable), *home = getenv("HOME");
    if (base && *base)
        return memory_format("%s/hull", base);
    if (rest && home && *home)
        return memory_format("%s/%s/hull", home, rest);
    return memory_format("/tmp/hull-%u", (unsigned int)geteuid());
}

static void report(const struct command_line *line, const char *text)
{
    if (line && line->verb)
        fprintf(stderr, "hull: %s: %s\n", line->verb->name, text);
    else
        fprintf(stderr, "hull: %s\n", text);
}

static int act(struct command_line *line)
{
    const struct warnings warnings = {print_warning, NULL};
    struct error err = {0};
    scope_free char *root = choose_directory("/var/lib/hull", "XDG_DATA_HOME", ".local/share");
    scope_free char *run_root = choose_directory("/run/hull", "XDG_RUNTIME_DIR", NULL);
    const char *given_root = command_global_value(line, "root");
    const char *given_run_root = command_global_value(line, "run-root");
    struct cli_context context = {
        .line = line,
        .warnings = &warnings,
        .root = given_root ? given_root : root,
        .run_root = given_run_root ? given_run_root : run_root,
    };
    const struct cli_verb *verb = (const struct cli_verb *)line->verb;
    if ((!verb->runs_as_user && rootless_enter(context.run_root, &err) < 0) ||
        verb->run(&context, &err) < 0) {
        report(line, err.text);
        if (context.exit_status == 0)
            context.exit_status = STATUS_FAILED;
    }
    return context.exit_status;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err = {0};
    int status = 0;
    if (command_parse(&cli_program, argc, argv, &line, &err) < 0) {
        report(NULL, err.text);
        status = STATUS_FAILED;
    } else if (line.action == COMMAND_SHOW_HELP && !line.verb && line.group) {
        command_print_group_help(&cli_program, line.group, stdout);
    } else if (line.action == COMMAND_SHOW_HELP) {
        command_print_help(&cli_program, line.verb, stdout);
    } else if (line.action == COMMAND_SHOW_VERSION) {
        printf("hull version %s\n", HULL_VERSION);
    } else {
        status = act(&line);
    }
    if (fflush(stdout) != 0 && status == 0) {
        fprintf(stderr, "hull: can't write to standard output: %s\n", strerror(errno));
        status = STATUS_FAILED;
    }
    command_release(&line);
    return status;
}
