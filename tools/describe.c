/* Runs while building: prints a document made from a program's description.
 *
 *     describe PROGRAM man|bash|zsh */
#include <stdio.h>
#include <string.h>

#include "base/describe.h"
#include "cli/verb.h"
#include "oci/program.h"
#include "vm/control/options.h"

static const struct {
    const struct command_program *program;
    int section; /* of its man page */
} programs[] = {{&oci_program, 8}, {&cli_program, 1}, {&vm_options_program, 8}};

int main(int argc, char **argv)
{
    size_t count = sizeof programs / sizeof *programs, i = 0;
    while (i < count && (argc != 3 || strcmp(programs[i].program->name, argv[1]) != 0))
        i++;
    if (i < count && strcmp(argv[2], "man") == 0)
        describe_man_page(programs[i].program, programs[i].section, HULL_VERSION, stdout);
    else if (i < count && strcmp(argv[2], "bash") == 0)
        describe_bash_completion(programs[i].program, stdout);
    else if (i < count && strcmp(argv[2], "zsh") == 0)
        describe_zsh_completion(programs[i].program, stdout);
    else {
        fputs("usage: describe PROGRAM man|bash|zsh\n", stderr);
        return 2;
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
