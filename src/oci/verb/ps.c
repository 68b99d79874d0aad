#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scope.h"
#include "container/container.h"
#include "container/signals.h"
#include "oci/verb/output.h"
#include "oci/verb/verb.h"

static bool is_among(const pid_t *pids, size_t count, long pid)
{
    for (size_t i = 0; i < count; i++) {
        if (pids[i] == pid)
            return true;
    }
    return false;
}

/* The number in the given column (0 the first) of a line of ps, or -1. */
static long number_in_column(const char *line, int column)
{
    for (; column > 0; column--) {
        line += strspn(line, " ");
        line += strcspn(line, " \n");
    }
    char *end;
    long number = strtol(line, &end, 10);
    return end == line ? -1 : number;
}

static int find_pid_column(const char *title)
{
    for (int column = 0; *(title += strspn(title, " ")) && *title != '\n'; column++) {
        size_t length = strcspn(title, " \n");
        if (length == 3 && strncmp(title, "PID", 3) == 0)
            return column;
        title += length;
    }
    return -1;
}

static pid_t start_ps(char **options, int option_count, int *output, struct error *err)
{
    int pipe_ends[2];
    char **args = memory_allocate((size_t)option_count + 3, sizeof *args);
    args[0] = (char *)"ps";
    args[1] = (char *)"-ef";
    for (int i = 0; i < option_count; i++)
        args[i + 1] = options[i];
    pid_t pid = pipe2(pipe_ends, 0) < 0 ? -1 : fork();
    if (pid == 0) {
        signals_reset();
        dup2(pipe_ends[1], STDOUT_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        execvp(args[0], args);
        fprintf(stderr, "hull-oci: ps: can't execute ps(1): %s\n", strerror(errno));
        _exit(127);
    }
    free(args);
    if (pid < 0)
        return error_set(err, errno, "can't run ps(1)");
    close(pipe_ends[1]);
    *output = pipe_ends[0];
    return pid;
}

static int filter_table(FILE *table, const pid_t *pids, size_t count, struct error *err)
{
    scope_free char *line = NULL;
    size_t room = 0;
    int column = -1;
    while (getline(&line, &room, table) > 0) {
        bool is_title = column < 0;
        if (is_title && (column = find_pid_column(line)) < 0)
            return error_set(err, 0, "these options of ps(1) show no column PID");
        if (is_title || is_among(pids, count, number_in_column(line, column)))
            fputs(line, stdout);
    }
    return output_finish(err);
}

static int print_table(const struct verb_context *context, const pid_t *pids, size_t count,
                       struct error *err)
{
    int output = -1, status;
    pid_t pid =
        start_ps(context->line->arguments + 1, context->line->argument_count - 1, &output, err);
    if (pid < 0)
        return -1;
    FILE *table = fdopen(output, "r");
    int result = filter_table(table, pids, count, err);
    fclose(table); /* before waiting: ps may have more to write than a pipe holds */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (result == 0 && status != 0)
        return error_set(err, 0, "ps(1) failed");
    return result;
}

int verb_ps(struct verb_context *context, struct error *err)
{
    struct cgroup cgroup;
    scope_record struct record record = RECORD_CLOSED;
    pid_t *list;
    size_t count;
    if (container_open(&record, &cgroup, context->root, verb_id(context), err) < 0)
        return -1;
    if (cgroup.count == 0)
        return error_set(err, 0, "the container has no cgroup of its own to list");
    if (cgroup_pids(&cgroup, &list, &count, err) < 0)
        return -1;
    scope_free pid_t *pids = list;
    const char *format = command_value(context->line, "format");
    if (!format || strcmp(format, "json") != 0)
        return print_table(context, pids, count, err);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer(pids[i]));
    return output_json(array, JSON_COMPACT, err);
}
