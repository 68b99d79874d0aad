/* Documents written from a program's description (base/command.h): its man page, and what makes
 * bash and zsh complete its command line. Used while building; no program links it. */
#ifndef HULL_BASE_DESCRIBE_H
#define HULL_BASE_DESCRIBE_H

#include <stdio.h>

#include "base/command.h"

/* The man page in section 8, with the macros of man(7). */
void describe_man_page(const struct command_program *program, const char *version, FILE *out);
/* A file for bash-completion's directory; it works without bash-completion too. */
void describe_bash_completion(const struct command_program *program, FILE *out);
/* An autoloaded function "_PROGRAM" for zsh's $fpath. */
void describe_zsh_completion(const struct command_program *program, FILE *out);

/* Whether the verb's first argument is the name of an object that exists, so that
 * program->list_objects completes it. */
bool describe_completes_objects(const struct command_verb *verb);

#endif
