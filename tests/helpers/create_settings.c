/* Prints the settings that hull makes of the flags of `create`: create_settings FLAG… IMAGE … */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli/run_flags.h"

static const struct command_verb verb = {
    .name = "create",
    .arguments = "IMAGE [COMMAND]",
    .summary = "make a container",
    .flags = run_flags + RUN_FLAGS_OF_RUN,
    .min_arguments = 1,
    .max_arguments = -1,
    .options_first = true,
};

static const struct command_verb *const verbs[] = {&verb, NULL};

static const struct command_program program = {
    .name = "hull",
    .summary = "of this test",
    .verbs = verbs,
    .syntax = COMMAND_SYNTAX_POSIX,
};

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err = {0};
    json_t *settings = NULL;
    char **words = memory_allocate((size_t)argc + 1, sizeof *words);
    words[0] = argv[0];
    words[1] = memory_copy_string("create");
    for (int i = 1; i < argc; i++)
        words[i + 1] = argv[i];
    int status = command_parse(&program, argc + 1, words, &line, &err);
    if (status == 0)
        status = run_flags_make_settings(&line, NULL, &settings, &err);
    if (status < 0)
        fprintf(stderr, "%s\n", err.text);
    else
        json_dumpf(settings, stdout, JSON_COMPACT);
    json_decref(settings);
    command_release(&line);
    free(words[1]);
    free(words);
    return status < 0 ? 1 : 0;
}
