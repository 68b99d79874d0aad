/* Documents written from a program's description (base/command.h): its man page, and what makes
 * bash and zsh complete its command line. Used while building; no program links it. */
#ifndef HULL_BASE_DESCRIBE_H
#define HULL_BASE_DESCRIBE_H

#include <stdio.h>

#include "base/command.h"

/* The man page, with the macros of man(7); section is 1 for everybody's commands, 8 for root's. */
void describe_man_page(const struct command_program *program, int section, const char *version,
                       FILE *out);
/* A file for bash-completion's directory; it works without bash-completion too. */
void describe_bash_completion(const struct command_program *program, FILE *out);
/* An autoloaded function "_PROGRAM" for zsh's $fpath. */
void describe_zsh_completion(const struct command_program *program, FILE *out);

/* Whether the verb's first argument is the name of an object that exists, so that
 * program->list_objects completes it. */
bool describe_completes_objects(const struct command_verb *verb);

/* What a verb is called: its name is number 0, its aliases are those from 1 on. False if there is
 * no such number. */
#define DESCRIBE_NAME_SIZE 64
bool describe_get_name(const struct command_verb *verb, size_t number,
                       char name[DESCRIBE_NAME_SIZE]);

/* A verb's word within a group (NULL: among those without one), by its name or an alias: "ls" of
 * "container ls". Returns the number of the next word, 0 if there is none; begin with 0. */
size_t describe_next_word(const struct command_verb *verb, const struct command_group *group,
                          size_t number, char word[DESCRIBE_NAME_SIZE]);

#endif
