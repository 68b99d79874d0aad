/* The command line of a program, described once.
 *
 * A program is a table of verbs, each with its flags. From that one description come the parser,
 * `--help`, the man page and the shells' completions (base/describe.h), so that they can't
 * disagree.
 *
 * There are two syntaxes. COMMAND_SYNTAX_GO is that of Go's flag package, which runc uses: `--flag
 * value`, `--flag=value`, one dash as good as two, letters don't combine. COMMAND_SYNTAX_POSIX is
 * that of pflag, which docker uses: two dashes before a name, one before letters, which combine
 * (`-it`) and of which the last may have its value attached (`-p8080:80`). Of both:
 * `--flag=false` for a boolean, `--` ends the flags. Flags may stand after the arguments too,
 * unless the verb says options_first. The program's own flags are known before the verb and,
 * where the verb has none of that name, after it.
 *
 * A verb's name may be two words, "container ls": the first is a group. Aliases are other names
 * for the same verb. */
#ifndef HULL_BASE_COMMAND_H
#define HULL_BASE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"

/* A list of flags ends with one whose name is NULL. */
struct command_flag {
    const char *name;     /* without dashes */
    char letter;          /* the short form, or 0 */
    const char *argument; /* what it takes: "PATH", "FILE", "DIRECTORY", "N" …; NULL: a boolean */
    const char *help;     /* a phrase without a full stop */
    const char *default_text; /* shown by --help; command_value() doesn't apply it */
    const char *choices;      /* the only words it takes, "table json"; NULL: any */
    bool repeats;             /* may be given several times, and each counts */
    bool hidden;              /* parsed, but shown nowhere */
};

/* Descriptions are paragraphs: a newline ends one, two make a gap, and a line that begins with a
 * blank is an example, shown as it stands. */
struct command_verb {
    const char *name;      /* "run", or with its group "container run" */
    const char *aliases;   /* further such names, each followed by a comma but the last; or NULL */
    const char *arguments; /* "CONTAINER-ID SIGNAL", for people; NULL: none */
    const char *summary;   /* a phrase without a full stop */
    const char *description;
    const struct command_flag *flags; /* may be NULL */
    int min_arguments, max_arguments; /* max -1: any number */
    bool options_first;               /* everything after the first argument is an argument */
    bool makes_object;                /* its CONTAINER-ID is new: nothing to complete it from */
    bool hidden;                      /* for programs of hull's own: shown nowhere */
};

/* What verbs of two words have in front. The list ends with a NULL name. */
struct command_group {
    const char *name;
    const char *summary; /* a phrase without a full stop */
};

enum command_syntax { COMMAND_SYNTAX_GO, COMMAND_SYNTAX_POSIX };

/* More of the man page: "EXIT STATUS" and its text. The list ends with a NULL title. */
struct command_section {
    const char *title;
    const char *text;
};

struct command_program {
    const char *name;
    const char *summary;
    const char *description;
    const struct command_flag *flags;        /* those before the verb */
    const struct command_verb *const *verbs; /* ends with NULL */
    const struct command_group *groups;      /* may be NULL */
    enum command_syntax syntax;
    const struct command_section *sections; /* may be NULL */
    const char *list_objects; /* a command that prints what completes CONTAINER-ID, a name a line */
};

enum command_action {
    COMMAND_RUN_VERB,  /* line->verb is set */
    COMMAND_SHOW_HELP, /* of line->verb, or else line->group, or else the program */
    COMMAND_SHOW_VERSION,
};

struct command_setting {
    const struct command_flag *flag;
    const char *value; /* a boolean's is "true" or "false" */
};

/* What somebody typed. The strings are argv's; the rest lives until command_release(). */
struct command_line {
    const struct command_program *program;
    enum command_action action;
    const struct command_verb *verb;
    const struct command_group *group; /* where only a group was given */
    char **arguments;                  /* of the verb, without flags; ends with NULL */
    int argument_count;
    /* The functions below look in these. */
    struct command_setting *settings;
    size_t setting_count;
    struct arena arena;
};

/* Reads a command line into *line. Returns 0, or -1 with one line that says what is wrong and,
 * for an unknown flag or verb, the nearest known one. No arguments at all ask for help. After an
 * error line still knows the program's flags read so far (--log, say). Whatever it returns, call
 * command_release(). */
int command_parse(const struct command_program *program, int argc, char **argv,
                  struct command_line *line, struct error *err);
void command_release(struct command_line *line);

/* The last value given for the verb's flag, or NULL. An unknown name is a bug and aborts. */
const char *command_value(const struct command_line *line, const char *name);
/* Whether the verb's boolean flag was given and is true, or its other flag was given at all. */
bool command_given(const struct command_line *line, const char *name);
/* All values of the verb's flag in their order; *values belongs to line. */
size_t command_values(struct command_line *line, const char *name, const char ***values);
/* The same for the program's own flags. */
const char *command_global_value(const struct command_line *line, const char *name);
bool command_global_given(const struct command_line *line, const char *name);

/* By its name or an alias; NULL if there is no such verb. */
const struct command_verb *command_find_verb(const struct command_program *program,
                                             const char *name);

/* Help for one verb, or for the program where verb is NULL. */
void command_print_help(const struct command_program *program, const struct command_verb *verb,
                        FILE *out);
void command_print_group_help(const struct command_program *program,
                              const struct command_group *group, FILE *out);
/* "run [flags] CONTAINER-ID", after "hull-oci ". */
void command_print_usage(const struct command_verb *verb, FILE *out);

#endif
