#include <errno.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"

/* hull-oci reads the container's cgroup, and shows of what ps(1) prints the container's part;
 * hull-vm prints what the guest says. */
static int print_processes(struct cli_context *context, struct engine *engine,
                           const struct engine_container *container, struct error *err)
{
    const struct command_line *line = context->line;
    struct monitor_status status = {0};
    if (engine_status(engine, container, &status, err) < 0)
        return -1;
    bool has_processes = status.state == MONITOR_RUNNING || status.state == MONITOR_PAUSED;
    monitor_status_release(&status);
    if (!has_processes)
        return error_set(err, 0, "container %s is not running", line->arguments[0]);
    const struct engine_runtime runtime = engine_runtime_of(engine, container);
    const char *program = runtime.program;
    const char *const first[] = {program, "--root", runtime.root, "ps", container->id, "-ef"};
    size_t count = sizeof first / sizeof *first;
    scope_free const char **words =
        memory_allocate(count + (size_t)line->argument_count + 1, sizeof *words);
    for (size_t i = 0; i < count; i++)
        words[i] = first[i];
    if (line->argument_count > 1)
        count--;
    for (int i = 1; i < line->argument_count; i++)
        words[count++] = line->arguments[i];
    execv(program, (char *const *)words);
    return error_set(err, errno, "can't execute %s", program);
}

static int run_top(struct cli_context *context, struct error *err)
{
    return container_verb_one(context, print_processes, err);
}

const struct cli_verb cli_top = {
    .command = {.name = "top",
                .aliases = "container top",
                .arguments = "CONTAINER [PS-OPTION...]",
                .summary = "show a container's processes",
                .description = "PS-OPTIONs are those of ps(1); its table must have a column PID.",
                .min_arguments = 1,
                .max_arguments = -1,
                .options_first = true},
    .run = run_top,
};
