/* The image, the program, its environment and streams, its health check; labels. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quantity.h"
#include "base/scope.h"
#include "cli/run_flags_internal.h"

/* NAME alone stands for hull's own variable; one that hull hasn't stays a name alone, which unsets
 * what the image has. */
static int add_variable(struct run_flags *flags, const char *flag, const char *value)
{
    if (!*value || *value == '=')
        return run_flags_fail(flags, flag, value, "a variable needs a name: NAME=VALUE or NAME");
    const char *known = strchr(value, '=') ? NULL : getenv(value);
    scope_free char *text =
        known ? memory_format("%s=%s", value, known) : memory_copy_string(value);
    json_array_append_new(run_flags_list(flags->settings, "Env"),
                          run_flags_text(text, strlen(text)));
    return 0;
}

static int add_file_variable(struct run_flags *flags, const char *flag, const char *line)
{
    size_t length = strcspn(line, "=");
    if (!length)
        return run_flags_fail(flags, flag, line, "a line without the name of a variable");
    if (strcspn(line, " \t") < length)
        return run_flags_fail(flags, flag, line, "the name of a variable has a blank in it");
    if (!line[length] && !getenv(line))
        return 0;
    return add_variable(flags, flag, line);
}

static int add_env_file(struct run_flags *flags, const char *flag, const char *path)
{
    return run_flags_read_lines(flags, flag, path, add_file_variable);
}

static int add_stream(struct run_flags *flags, const char *flag, const char *value)
{
    static const char *const members[][2] = {
        {"stdin", "AttachStdin"}, {"stdout", "AttachStdout"}, {"stderr", "AttachStderr"}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (strcasecmp(value, members[i][0]) == 0) {
            json_object_set_new(flags->settings, members[i][1], json_true());
            return 0;
        }
    }
    return run_flags_fail(flags, flag, value, "expected stdin, stdout or stderr");
}

static int add_streams(struct run_flags *flags)
{
    json_t *settings = flags->settings;
    bool detached = run_flags_has(flags, "detach") && command_given(flags->line, "detach");
    if (detached && command_given(flags->line, "attach"))
        return error_set(flags->err, 0,
                         "--attach and --detach contradict each other (give one of them)");
    if (run_flags_for_each(flags, "attach", add_stream) < 0)
        return -1;
    bool interactive = command_given(flags->line, "interactive");
    if (interactive)
        json_object_set_new(settings, "OpenStdin", json_true());
    if (detached)
        return 0;
    if (!command_given(flags->line, "attach")) {
        json_object_set_new(settings, "AttachStdout", json_true());
        json_object_set_new(settings, "AttachStderr", json_true());
    }
    if (interactive) {
        json_object_set_new(settings, "AttachStdin", json_true());
        json_object_set_new(settings, "StdinOnce", json_true());
    }
    return 0;
}

static void add_command(struct run_flags *flags)
{
    const char *entry = command_value(flags->line, "entrypoint");
    char **arguments = flags->line->arguments;
    if (entry)
        json_array_append_new(run_flags_list(flags->settings, "Entrypoint"),
                              run_flags_text(entry, strlen(entry)));
    json_object_set_new(flags->settings, "Image",
                        run_flags_text(arguments[0], strlen(arguments[0])));
    for (char **word = arguments + 1; *word; word++)
        json_array_append_new(run_flags_list(flags->settings, "Cmd"),
                              run_flags_text(*word, strlen(*word)));
}

int run_flags_add_restart(struct run_flags *flags)
{
    const char *value = command_value(flags->line, "restart");
    if (!value || !*value)
        return 0;
    size_t length = strcspn(value, ":");
    int64_t count = 0;
    if (value[length] && !quantity_read_integer(value + length + 1, 0, INT32_MAX, &count))
        return run_flags_fail(flags, "restart", value,
                              "what follows the colon is the number of restarts");
    static const char *const names[] = {"no", "always", "unless-stopped", "on-failure"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) != length || strncmp(names[i], value, length) != 0)
            continue;
        if (value[length] && strcmp(names[i], "on-failure") != 0)
            return run_flags_fail(flags, "restart", value,
                                  "only on-failure takes a number of restarts");
        json_t *policy = run_flags_map(flags->host, "RestartPolicy");
        json_object_set_new(policy, "Name", json_string(names[i]));
        json_object_set_new(policy, "MaximumRetryCount", json_integer(count));
        return 0;
    }
    return run_flags_fail(flags, "restart", value,
                          "expected no, always, unless-stopped or on-failure[:N]");
}

static int add_log_option(struct run_flags *flags, const char *flag, const char *value)
{
    size_t length = strcspn(value, "=");
    if (!length || !value[length])
        return run_flags_fail(flags, flag, value, "expected KEY=VALUE");
    scope_free char *key = memory_format("%.*s", (int)length, value);
    json_t *options = run_flags_map(run_flags_map(flags->host, "LogConfig"), "Config");
    json_object_set_new(options, key,
                        run_flags_text(value + length + 1, strlen(value + length + 1)));
    return 0;
}

int run_flags_add_process(struct run_flags *flags)
{
    add_command(flags);
    const char *driver = command_value(flags->line, "log-driver");
    if (driver)
        json_object_set_new(run_flags_map(flags->host, "LogConfig"), "Type",
                            run_flags_text(driver, strlen(driver)));
    if (run_flags_for_each(flags, "log-opt", add_log_option) < 0 ||
        run_flags_for_each(flags, "env-file", add_env_file) < 0 ||
        run_flags_for_each(flags, "env", add_variable) < 0 || add_streams(flags) < 0)
        return -1;
    return run_flags_add_restart(flags);
}

/* Health */

static int add_duration(struct run_flags *flags, const char *flag, const char *key)
{
    const char *value = command_value(flags->line, flag);
    int64_t nanoseconds;
    if (!value)
        return 0;
    if (!quantity_read_duration(value, &nanoseconds))
        return run_flags_fail(flags, flag, value, "not a duration (such as 30s or 1m30s)");
    if (nanoseconds < 0)
        return run_flags_fail(flags, flag, value, "a duration can't be negative");
    json_object_set_new(run_flags_map(flags->settings, "Healthcheck"), key,
                        json_integer(nanoseconds));
    return 0;
}

int run_flags_add_health(struct run_flags *flags)
{
    static const char *const durations[][2] = {
        {"health-interval", "Interval"},
        {"health-timeout", "Timeout"},
        {"health-start-period", "StartPeriod"},
        {"health-start-interval", "StartInterval"},
    };
    const char *command = command_value(flags->line, "health-cmd");
    const char *retries = command_value(flags->line, "health-retries");
    int64_t number;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        if (add_duration(flags, durations[i][0], durations[i][1]) < 0)
            return -1;
    if (retries && !quantity_read_integer(retries, 0, INT32_MAX, &number))
        return run_flags_fail(flags, "health-retries", retries, "not a whole number from 0 on");
    if (retries)
        json_object_set_new(run_flags_map(flags->settings, "Healthcheck"), "Retries",
                            json_integer(number));
    if (command && *command)
        json_object_set_new(
            run_flags_map(flags->settings, "Healthcheck"), "Test",
            json_pack("[s, o]", "CMD-SHELL", run_flags_text(command, strlen(command))));
    if (!command_given(flags->line, "no-healthcheck"))
        return 0;
    if (json_object_get(flags->settings, "Healthcheck"))
        return error_set(flags->err, 0,
                         "--no-healthcheck contradicts the other --health-… flags (leave one out)");
    json_object_set_new(run_flags_map(flags->settings, "Healthcheck"), "Test",
                        json_pack("[s]", "NONE"));
    return 0;
}

/* Labels */

static int add_label(struct run_flags *flags, const char *flag, const char *value)
{
    size_t length = strcspn(value, "=");
    if (!length)
        return run_flags_fail(flags, flag, value, "a label needs a key: KEY=VALUE or KEY");
    scope_free char *key = memory_format("%.*s", (int)length, value);
    const char *text = value[length] ? value + length + 1 : "";
    json_t *labels = run_flags_map(flags->settings, "Labels");
    if (json_object_set_new(labels, key, run_flags_text(text, strlen(text))) < 0)
        return run_flags_fail(flags, flag, value, "the key is not UTF-8");
    return 0;
}

static int add_file_label(struct run_flags *flags, const char *flag, const char *line)
{
    size_t length = strcspn(line, "=");
    if (strcspn(line, " \t") < length)
        return run_flags_fail(flags, flag, line, "the key of a label has a blank in it");
    return add_label(flags, flag, line);
}

static int add_label_file(struct run_flags *flags, const char *flag, const char *path)
{
    return run_flags_read_lines(flags, flag, path, add_file_label);
}

int run_flags_add_labels(struct run_flags *flags)
{
    if (run_flags_for_each(flags, "label-file", add_label_file) < 0)
        return -1;
    return run_flags_for_each(flags, "label", add_label);
}
