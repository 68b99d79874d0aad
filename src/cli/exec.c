#include "engine/exec.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/container_verb.h"
#include "cli/exec_keeper.h"
#include "cli/exec_relay.h"
#include "monitor/document.h"

#define FILE_LIMIT (16 << 20)

static const struct command_flag flags[] = {
    {.name = "detach",
     .letter = 'd',
     .help = "don't wait for its end, which an event exec_die will tell; its output is lost"},
    {.name = "detach-keys",
     .argument = "KEYS",
     .help = "what to type to leave it running",
     .default_text = "ctrl-p,ctrl-q"},
    {.name = "env",
     .letter = 'e',
     .argument = "NAME[=VALUE]",
     .repeats = true,
     .help = "set an environment variable; NAME alone: to what it is here"},
    {.name = "env-file",
     .argument = "FILE",
     .repeats = true,
     .help = "set the environment variables that a file lists"},
    {.name = "interactive", .letter = 'i', .help = "pass standard input on"},
    {.name = "privileged", .help = "give it all capabilities"},
    {.name = "tty", .letter = 't', .help = "give it a terminal"},
    {.name = "user",
     .letter = 'u',
     .argument = "USER[:GROUP]",
     .help = "run as this user, a name of the container's or a number"},
    {.name = "workdir", .letter = 'w', .argument = "DIRECTORY", .help = "start in this directory"},
    {0},
};

struct variables {
    const char **items; /* in the arena */
    size_t count;
    struct arena arena;
};

static void add_variable(struct variables *variables, const char *text)
{
    const char *value = strchr(text, '=') ? NULL : getenv(text);
    if (!strchr(text, '=') && !value)
        return;
    const char **items = arena_allocate(&variables->arena, variables->count + 1, sizeof *items);
    if (variables->count > 0)
        memcpy(items, variables->items, variables->count * sizeof *items);
    items[variables->count++] = value ? arena_format(&variables->arena, "%s=%s", text, value)
                                      : arena_copy_string(&variables->arena, text);
    variables->items = items;
}

static int read_file(struct variables *variables, const char *path, struct error *err)
{
    scope_free char *text = file_read_all(AT_FDCWD, path, FILE_LIMIT, NULL, err);
    if (!text)
        return -1;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t");
        line[strcspn(line, "\r")] = '\0';
        if (!*line || *line == '#')
            continue;
        if (*line == '=' || strcspn(line, " \t") < strcspn(line, "="))
            return error_set(err, 0, "--env-file '%s': '%.64s' is no variable", path, line);
        add_variable(variables, line);
    }
    return 0;
}

/* What -e gives counts more than a file. */
static int read_variables(struct command_line *line, struct variables *variables, struct error *err)
{
    const char **values;
    size_t count = command_values(line, "env-file", &values);
    for (size_t i = 0; i < count; i++)
        if (read_file(variables, values[i], err) < 0)
            return -1;
    count = command_values(line, "env", &values);
    for (size_t i = 0; i < count; i++) {
        if (!*values[i] || *values[i] == '=')
            return error_set(err, 0, "--env '%s': a variable needs a name", values[i]);
        add_variable(variables, values[i]);
    }
    return 0;
}

static json_t *describe(struct cli_context *context, struct engine *engine,
                        const struct engine_container *container, struct error *err)
{
    struct command_line *line = context->line;
    struct variables variables = {0};
    struct engine_exec wanted = {
        .arguments = (const char *const *)line->arguments + 1,
        .argument_count = (size_t)line->argument_count - 1,
        .user = command_value(line, "user"),
        .directory = command_value(line, "workdir"),
        .terminal = command_given(line, "tty"),
        .privileged = command_given(line, "privileged"),
    };
    if (wanted.terminal && command_given(line, "interactive") && !command_given(line, "detach") &&
        !isatty(STDIN_FILENO)) {
        error_set(err, 0, "standard input is no terminal (leave out --tty)");
        return NULL;
    }
    if (wanted.directory && *wanted.directory != '/') {
        error_set(err, 0, "--workdir '%s': not an absolute path", wanted.directory);
        return NULL;
    }
    if (wanted.user && !*wanted.user)
        wanted.user = NULL;
    container_session_size(&wanted.rows, &wanted.columns);
    int result = read_variables(line, &variables, err);
    wanted.env = variables.items;
    wanted.env_count = variables.count;
    json_t *process = result == 0 ? engine_exec_describe(engine, container, &wanted, err) : NULL;
    arena_release(&variables.arena);
    return process;
}

/* Nobody can detach from it. */
static int run_attended(struct cli_context *context, struct engine *engine,
                        const struct engine_container *container, struct error *err)
{
    scope_json json_t *process = describe(context, engine, container, err);
    if (!process)
        return -1;
    const struct command_line *line = context->line;
    struct exec_relay relay = {.interactive = command_given(line, "interactive"),
                               .terminal = command_given(line, "tty"),
                               .detach_keys = command_value(line, "detach-keys")};
    int exit_code = 1;
    bool detached = false;
    int result = exec_relay_begin(&relay, err);
    pid_t pid =
        result < 0 ? -1
                   : engine_exec_start(engine, container, process, &relay.streams, &exit_code, err);
    if (pid < 0) {
        exec_relay_end(&relay);
        context->exit_status = exit_code;
        return -1;
    }
    result = exec_relay_run(&relay, pid, &context->exit_status, &detached, err);
    exec_relay_end(&relay);
    if (result == 0)
        engine_emit(engine, "container", "exec_die", container->id,
                    engine_exec_describe_end(container, context->exit_status));
    return result;
}

static int run_exec(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    bool may_detach =
        command_given(line, "tty") && command_given(line, "interactive") && isatty(STDIN_FILENO);
    return may_detach || command_given(line, "detach")
               ? exec_keeper_run(context, describe, err)
               : container_verb_one(context, run_attended, err);
}

const struct cli_verb cli_exec = {
    .command = {.name = "exec",
                .aliases = "container exec",
                .arguments = "CONTAINER COMMAND [ARGUMENT...]",
                .summary = "execute another program in a running container",
                .description = "Ends with the program's exit code; 126 if it can't be executed, "
                               "127 if there is none.",
                .flags = flags,
                .min_arguments = 2,
                .max_arguments = -1,
                .options_first = true},
    .run = run_exec,
};
