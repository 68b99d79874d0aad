/* The command line of a program, described once.
 *
 * A program is a table of verbs, each with its flags. From that one description come the parser,
 * `--help`, the man page and the shells' completions (base/describe.h), so that they can't
 * disagree.
 *
 * The syntax is that of Go's flag package, which runc and docker use: `--flag value`,
 * `--flag=value`, one dash as good as two, `--flag=false` for a boolean, `--` ends the flags.
 * Flags may stand after the arguments too, unless the verb says options_first. Letters don't
 * combine. The program's own flags are known before the verb and, where the verb has none of
 * that name, after it. */
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
    const char *name;
    const char *arguments; /* "CONTAINER-ID SIGNAL", for people; NULL: none */
    const char *summary;   /* a phrase without a full stop */
    const char *description;
    const struct command_flag *flags; /* may be NULL */
    int min_arguments, max_arguments; /* max -1: any number */
    bool options_first;               /* everything after the first argument is an argument */
    bool makes_object;                /* its CONTAINER-ID is new: nothing to complete it from */
};

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
    const struct command_section *sections;  /* may be NULL */
    const char *list_objects; /* a command that prints what completes CONTAINER-ID, a name a line */
};

enum command_action {
    COMMAND_RUN_VERB,  /* line->verb is set */
    COMMAND_SHOW_HELP, /* of line->verb, or of the program where that is NULL */
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
    char **arguments; /* of the verb, without flags; ends with NULL */
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

/* NULL if there is no such verb. */
const struct command_verb *command_find_verb(const struct command_program *program,
                                             const char *name);

/* Help for one verb, or for the program where verb is NULL. */
void command_print_help(const struct command_program *program, const struct command_verb *verb,
                        FILE *out);
/* "run [flags] CONTAINER-ID", after "hull-oci ". */
void command_print_usage(const struct command_verb *verb, FILE *out);

#endif
