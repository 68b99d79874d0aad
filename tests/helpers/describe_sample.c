/* Prints a document of a program with groups of verbs, verbs of two words and aliases:
 * describe_sample man|bash|zsh */
#include <string.h>

#include "base/describe.h"

static const struct command_flag list_flags[] = {
    {.name = "quiet", .letter = 'q', .help = "only ids"},
    {.name = "format", .argument = "FORMAT", .help = "how", .choices = "table json"},
    {0},
};

static const struct command_verb run = {.name = "run",
                                        .aliases = "container run",
                                        .arguments = "IMAGE",
                                        .summary = "run a container",
                                        .max_arguments = -1};
static const struct command_verb list = {.name = "ps",
                                         .aliases = "container ls,container list",
                                         .summary = "list containers",
                                         .flags = list_flags};
static const struct command_verb start = {.name = "start",
                                          .aliases = "container start",
                                          .arguments = "CONTAINER [CONTAINER…]",
                                          .summary = "start containers",
                                          .min_arguments = 1,
                                          .max_arguments = -1};
static const struct command_verb prune = {.name = "image prune", .summary = "remove unused images"};

static const struct command_verb *const verbs[] = {&run, &list, &start, &prune, NULL};

static const struct command_group groups[] = {
    {"container", "commands of containers"}, {"image", "commands of images"}, {0}};

static const struct command_flag flags[] = {
    {.name = "root", .argument = "DIRECTORY", .help = "where"}, {0}};

static const struct command_program sample = {
    .name = "sample",
    .summary = "a program of the tests",
    .flags = flags,
    .verbs = verbs,
    .groups = groups,
    .syntax = COMMAND_SYNTAX_POSIX,
    .list_objects = "sample ps -q",
};

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "man") == 0)
        describe_man_page(&sample, 1, "1", stdout);
    else if (strcmp(what, "bash") == 0)
        describe_bash_completion(&sample, stdout);
    else if (strcmp(what, "zsh") == 0)
        describe_zsh_completion(&sample, stdout);
    else
        return 2;
    return 0;
}
