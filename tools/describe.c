/* Runs while building: prints a document made from a program's description.
 *
 *     describe hull-oci man|bash|zsh */
#include <stdio.h>
#include <string.h>

#include "base/describe.h"
#include "oci/program.h"

static const struct command_program *const programs[] = {&oci_program};

static const struct command_program *find_program(const char *name)
{
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(programs[i]->name, name) == 0)
            return programs[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const struct command_program *program = argc == 3 ? find_program(argv[1]) : NULL;
    if (program && strcmp(argv[2], "man") == 0)
        describe_man_page(program, HULL_VERSION, stdout);
    else if (program && strcmp(argv[2], "bash") == 0)
        describe_bash_completion(program, stdout);
    else if (program && strcmp(argv[2], "zsh") == 0)
        describe_zsh_completion(program, stdout);
    else {
        fputs("usage: describe PROGRAM man|bash|zsh\n", stderr);
        return 2;
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
