#include "base/command.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/command_suggest.h"

/* Known everywhere, and so in nobody's table. */
static const struct command_flag help_flag = {.name = "help", .letter = 'h'};
static const struct command_flag version_flag = {.name = "version", .letter = 'v'};

static bool name_is(const struct command_flag *flag, const char *name, size_t length)
{
    if (length == 1 && flag->letter && flag->letter == name[0])
        return true;
    return strlen(flag->name) == length && memcmp(flag->name, name, length) == 0;
}

static const struct command_flag *find_flag(const struct command_flag *flags, const char *name,
                                            size_t length)
{
    for (; flags && flags->name; flags++)
        if (name_is(flags, name, length))
            return flags;
    return NULL;
}

static bool is_listed(const char *names, char separator, const char *name)
{
    const char end[] = {separator, '\0'};
    size_t length = strlen(name);
    while (names && *names) {
        size_t room = strcspn(names, end);
        if (room == length && memcmp(names, name, length) == 0)
            return true;
        names += room + strspn(names + room, end);
    }
    return false;
}

const struct command_verb *command_find_verb(const struct command_program *program,
                                             const char *name)
{
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        if (strcmp((*verb)->name, name) == 0 || is_listed((*verb)->aliases, ',', name))
            return *verb;
    return NULL;
}

static const struct command_group *find_group(const struct command_program *program,
                                              const char *name)
{
    for (const struct command_group *group = program->groups; group && group->name; group++)
        if (strcmp(group->name, name) == 0)
            return group;
    return NULL;
}

static void suggest_flags(struct command_suggestion *best, const char *typed, size_t length,
                          const struct command_flag *flags)
{
    for (; flags && flags->name; flags++)
        if (!flags->hidden)
            command_suggest(best, typed, length, flags->name);
}

/* Errors. Each is one line that begins with the verb, if one is known. */

struct parser {
    struct command_line *line;
    int argc;
    char **argv;
    int next; /* the word to read */
    struct error *err;
};

static int fail_with_usage(const struct parser *parser, const char *what)
{
    const struct command_verb *verb = parser->line->verb;
    return error_set(parser->err, 0, "%s: %s (usage: %s %s%s%s%s)", verb->name, what,
                     parser->line->program->name, verb->name, verb->flags ? " [flags]" : "",
                     verb->arguments ? " " : "", verb->arguments ? verb->arguments : "");
}

static int fail_at_flag(const struct parser *parser, const char *what, const char *word, int length,
                        const char *reason)
{
    const struct command_line *line = parser->line;
    if (line->verb)
        return error_set(parser->err, 0, "%s: %s '%.*s'%s", line->verb->name, what, length, word,
                         reason);
    return error_set(parser->err, 0, "%s '%.*s'%s", what, length, word, reason);
}

static int fail_for_unknown_flag(const struct parser *parser, const char *word, size_t dashes,
                                 size_t length)
{
    const struct command_line *line = parser->line;
    const char *name = word + dashes;
    struct command_suggestion best = {0};
    if (line->verb)
        suggest_flags(&best, name, length, line->verb->flags);
    suggest_flags(&best, name, length, line->program->flags);
    char hint[160];
    if (best.word)
        snprintf(hint, sizeof hint, " (did you mean '--%s'?)", best.word);
    else
        snprintf(hint, sizeof hint, " (see '%s %s%s--help')", line->program->name,
                 line->verb ? line->verb->name : "", line->verb ? " " : "");
    return fail_at_flag(parser, "unknown flag", word, (int)(dashes + length), hint);
}

static int fail_for_unknown_verb(const struct parser *parser, const char *word)
{
    struct command_suggestion best = {0};
    const struct command_program *program = parser->line->program;
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        if (!(*verb)->hidden)
            command_suggest(&best, word, strlen(word), (*verb)->name);
    for (const struct command_group *group = program->groups; group && group->name; group++)
        command_suggest(&best, word, strlen(word), group->name);
    if (best.word)
        return error_set(parser->err, 0, "unknown command '%s' (did you mean '%s'?)", word,
                         best.word);
    return error_set(parser->err, 0, "unknown command '%s' (see '%s --help')", word, program->name);
}

/* Parsing */

/* The spellings that Go's strconv.ParseBool takes. NULL for any other. */
static const char *normalise_boolean(const char *value)
{
    if (is_listed("1 t T TRUE true True", ' ', value))
        return "true";
    if (is_listed("0 f F FALSE false False", ' ', value))
        return "false";
    return NULL;
}

/* The first length bytes of word are the flag as it was typed. */
static int check_choice(const struct parser *parser, const struct command_flag *flag,
                        const char *word, int length, const char *value)
{
    if (!flag->choices || is_listed(flag->choices, ' ', value))
        return 0;
    char reason[256];
    snprintf(reason, sizeof reason, " takes one of: %s; not '%.64s'", flag->choices, value);
    return fail_at_flag(parser, "flag", word, length, reason);
}

/* Finds what value the flag that word names was given, in the word itself or the next one. */
static int read_value(struct parser *parser, const struct command_flag *flag, const char *word,
                      const char **value)
{
    const char *equals = strchr(word, '=');
    int length = equals ? (int)(equals - word) : (int)strlen(word);
    if (!flag->argument) {
        *value = equals ? normalise_boolean(equals + 1) : "true";
        return *value ? 0
                      : fail_at_flag(parser, "flag", word, length,
                                     " takes no value but true or false");
    }
    if (equals)
        *value = equals + 1;
    else if (parser->next < parser->argc)
        *value = parser->argv[parser->next++];
    else {
        char reason[96];
        snprintf(reason, sizeof reason, " needs a value: %s", flag->argument);
        return fail_at_flag(parser, "flag", word, length, reason);
    }
    return check_choice(parser, flag, word, length, *value);
}

static void keep_setting(struct command_line *line, const struct command_flag *flag,
                         const char *value)
{
    line->settings[line->setting_count++] = (struct command_setting){flag, value};
}

static const struct command_flag *find_letter(const struct command_line *line, char letter)
{
    const struct command_flag *lists[] = {line->verb ? line->verb->flags : NULL,
                                          line->program->flags};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const struct command_flag *flag = lists[i]; flag && flag->name; flag++)
            if (flag->letter == letter)
                return flag;
    return NULL;
}

/* Who typed "-name" may have meant "--name". */
static int fail_for_unknown_letter(const struct parser *parser, const char *word, char letter)
{
    const struct command_line *line = parser->line;
    size_t length = strcspn(word + 1, "=");
    bool is_name = (line->verb && find_flag(line->verb->flags, word + 1, length)) ||
                   find_flag(line->program->flags, word + 1, length);
    char hint[200];
    if (is_name)
        snprintf(hint, sizeof hint, " in '%.64s' (did you mean '-%.64s'?)", word, word);
    else
        snprintf(hint, sizeof hint, " in '%.64s' (see '%s %s%s--help')", word, line->program->name,
                 line->verb ? line->verb->name : "", line->verb ? " " : "");
    const char typed[] = {'-', letter, '\0'};
    return fail_at_flag(parser, "unknown flag", typed, 2, hint);
}

/* "-it", "-p8080:80", "-d=false": letters, of which one that takes a value is the last. */
static int read_letters(struct parser *parser, const char *word)
{
    struct command_line *line = parser->line;
    for (const char *at = word + 1; *at; at++) {
        const struct command_flag *flag = find_letter(line, *at);
        bool is_last = !at[1] || at[1] == '=';
        if (!flag && *at == help_flag.letter) {
            line->action = COMMAND_SHOW_HELP;
            return 0;
        }
        if (!flag && !line->verb && *at == version_flag.letter) {
            line->action = COMMAND_SHOW_VERSION;
            return 0;
        }
        if (!flag)
            return fail_for_unknown_letter(parser, word, *at);
        if (flag->argument && !is_last) {
            keep_setting(line, flag, at + 1);
            return check_choice(parser, flag, word, (int)strlen(word), at + 1);
        }
        if (is_last) {
            const char *value;
            if (read_value(parser, flag, arena_format(&line->arena, "-%s", at), &value) < 0)
                return -1;
            keep_setting(line, flag, value);
            return 0;
        }
        keep_setting(line, flag, "true");
    }
    return 0;
}

static int read_flag(struct parser *parser, const char *word)
{
    if (parser->line->program->syntax == COMMAND_SYNTAX_POSIX && word[1] != '-')
        return read_letters(parser, word);
    struct command_line *line = parser->line;
    size_t dashes = word[1] == '-' ? 2 : 1;
    const char *name = word + dashes;
    size_t length = strcspn(name, "=");
    const struct command_flag *flag = NULL;
    if (line->verb)
        flag = find_flag(line->verb->flags, name, length);
    if (!flag)
        flag = find_flag(line->program->flags, name, length);
    if (!flag && name_is(&help_flag, name, length)) {
        line->action = COMMAND_SHOW_HELP;
        return 0;
    }
    if (!flag && !line->verb && name_is(&version_flag, name, length)) {
        line->action = COMMAND_SHOW_VERSION;
        return 0;
    }
    if (!flag)
        return fail_for_unknown_flag(parser, word, dashes, length);
    const char *value;
    if (read_value(parser, flag, word, &value) < 0)
        return -1;
    keep_setting(line, flag, value);
    return 0;
}

/* No flag begins with a digit: "-9" is a signal, or a number. */
static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

/* Reads flags, and arguments among them, until the words or the flags end. */
static int read_words(struct parser *parser)
{
    struct command_line *line = parser->line;
    while (parser->next < parser->argc && line->action == COMMAND_RUN_VERB) {
        char *word = parser->argv[parser->next];
        if (is_flag(word)) {
            parser->next++;
            if (strcmp(word, "--") == 0)
                break;
            if (read_flag(parser, word) < 0)
                return -1;
            continue;
        }
        if (!line->verb || line->verb->options_first)
            break;
        line->arguments[line->argument_count++] = word;
        parser->next++;
    }
    return 0;
}

/* `help`, or `help VERB` */
static int read_help(struct parser *parser)
{
    struct command_line *line = parser->line;
    line->action = COMMAND_SHOW_HELP;
    if (parser->next == parser->argc)
        return 0;
    const char *name = parser->argv[parser->next++];
    line->group = find_group(line->program, name);
    if (line->group && parser->next == parser->argc)
        return 0;
    if (line->group)
        name = arena_format(&line->arena, "%s %s", name, parser->argv[parser->next]);
    line->verb = command_find_verb(line->program, name);
    return line->verb ? 0 : fail_for_unknown_verb(parser, name);
}

static int check_arguments(const struct parser *parser)
{
    const struct command_line *line = parser->line;
    const struct command_verb *verb = line->verb;
    if (line->argument_count < verb->min_arguments)
        return fail_with_usage(parser,
                               line->argument_count ? "too few arguments" : "argument missing");
    if (verb->max_arguments < 0 || line->argument_count <= verb->max_arguments)
        return 0;
    char what[128];
    snprintf(what, sizeof what, "unexpected argument '%.64s'",
             line->arguments[verb->max_arguments]);
    return fail_with_usage(parser, what);
}

/* What follows the verb. */
static int read_rest(struct parser *parser)
{
    struct command_line *line = parser->line;
    if (read_words(parser) < 0)
        return -1;
    if (line->action != COMMAND_RUN_VERB)
        return 0;
    while (parser->next < parser->argc)
        line->arguments[line->argument_count++] = parser->argv[parser->next++];
    return check_arguments(parser);
}

/* The second word of a verb of two, or help for its group. */
static int read_group(struct parser *parser, const struct command_group *group)
{
    struct command_line *line = parser->line;
    line->group = group;
    while (parser->next < parser->argc && is_flag(parser->argv[parser->next])) {
        if (read_flag(parser, parser->argv[parser->next++]) < 0)
            return -1;
        if (line->action != COMMAND_RUN_VERB)
            return 0;
    }
    if (parser->next >= parser->argc) {
        line->action = COMMAND_SHOW_HELP;
        return 0;
    }
    const char *name =
        arena_format(&line->arena, "%s %s", group->name, parser->argv[parser->next++]);
    line->verb = command_find_verb(line->program, name);
    return line->verb ? read_rest(parser) : fail_for_unknown_verb(parser, name);
}

static int read_verb(struct parser *parser)
{
    struct command_line *line = parser->line;
    const char *name = parser->argv[parser->next++];
    const struct command_group *group = find_group(line->program, name);
    if (group)
        return read_group(parser, group);
    line->verb = command_find_verb(line->program, name);
    if (!line->verb && (strcmp(name, "help") == 0 || strcmp(name, "h") == 0))
        return read_help(parser);
    if (!line->verb)
        return fail_for_unknown_verb(parser, name);
    return read_rest(parser);
}

int command_parse(const struct command_program *program, int argc, char **argv,
                  struct command_line *line, struct error *err)
{
    *line = (struct command_line){.program = program};
    size_t room = (size_t)argc + 1, letters = 0;
    for (int i = 1; i < argc && program->syntax == COMMAND_SYNTAX_POSIX; i++)
        letters += argv[i][0] == '-' && argv[i][1] != '-' ? strlen(argv[i]) : 0;
    line->settings = arena_allocate(&line->arena, room + letters, sizeof *line->settings);
    line->arguments = arena_allocate(&line->arena, room, sizeof *line->arguments);
    struct parser parser = {.line = line, .argc = argc, .argv = argv, .next = 1, .err = err};
    if (read_words(&parser) < 0)
        return -1;
    if (line->action != COMMAND_RUN_VERB)
        return 0;
    if (parser.next >= argc) {
        line->action = COMMAND_SHOW_HELP;
        return 0;
    }
    return read_verb(&parser);
}

void command_release(struct command_line *line)
{
    arena_release(&line->arena);
}

/* Looking things up */

static const struct command_flag *require_flag(const struct command_flag *flags, const char *name)
{
    const struct command_flag *flag = find_flag(flags, name, strlen(name));
    if (!flag) {
        fprintf(stderr, "no flag is called '%s': the program asks for what it doesn't describe\n",
                name);
        abort();
    }
    return flag;
}

static const char *last_value(const struct command_line *line, const struct command_flag *flag)
{
    for (size_t i = line->setting_count; i-- > 0;)
        if (line->settings[i].flag == flag)
            return line->settings[i].value;
    return NULL;
}

static bool is_given(const struct command_line *line, const struct command_flag *flag)
{
    const char *value = last_value(line, flag);
    return value && (flag->argument || strcmp(value, "true") == 0);
}

const char *command_value(const struct command_line *line, const char *name)
{
    return last_value(line, require_flag(line->verb->flags, name));
}

bool command_given(const struct command_line *line, const char *name)
{
    return is_given(line, require_flag(line->verb->flags, name));
}

const char *command_global_value(const struct command_line *line, const char *name)
{
    return last_value(line, require_flag(line->program->flags, name));
}

bool command_global_given(const struct command_line *line, const char *name)
{
    return is_given(line, require_flag(line->program->flags, name));
}

size_t command_values(struct command_line *line, const char *name, const char ***values)
{
    const struct command_flag *flag = require_flag(line->verb->flags, name);
    *values = arena_allocate(&line->arena, line->setting_count + 1, sizeof **values);
    size_t count = 0;
    for (size_t i = 0; i < line->setting_count; i++)
        if (line->settings[i].flag == flag)
            (*values)[count++] = line->settings[i].value;
    return count;
}
