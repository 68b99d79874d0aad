/* `--help`, from the same tables that the parser reads. */
#include <string.h>

#include "base/command.h"
#include "base/memory.h"
#include "base/scope.h"

#define LINE_WIDTH 80

/* Prints words from text, up to its end or a newline, wrapped and indented after the first line;
 * column is where the cursor stands. Returns where it stopped. */
static const char *print_wrapped(const char *text, int column, int indent, FILE *out)
{
    bool first = true;
    while (*text && *text != '\n') {
        int length = (int)strcspn(text, " \n");
        if (!first && column + 1 + length > LINE_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
        first = false;
    }
    return text;
}

static void print_description(const char *text, FILE *out)
{
    while (*text) {
        if (*text == ' ') { /* an example */
            int length = (int)strcspn(text, "\n");
            fprintf(out, "%.*s", length, text);
            text += length;
        } else
            text = print_wrapped(text, 0, 0, out);
        fputc('\n', out);
        if (*text)
            text++;
    }
}

static int flag_width(const struct command_flag *flag)
{
    int width = 6 + (int)strlen(flag->name); /* "-x, --" */
    return flag->argument ? width + 1 + (int)strlen(flag->argument) : width;
}

static void print_flag(const struct command_flag *flag, int indent, FILE *out)
{
    fprintf(out, "  %c%c%s--%s%s%s", flag->letter ? '-' : ' ', flag->letter ? flag->letter : ' ',
            flag->letter ? ", " : "  ", flag->name, flag->argument ? " " : "",
            flag->argument ? flag->argument : "");
    fprintf(out, "%*s", indent - 2 - flag_width(flag), "");
    scope_free char *text =
        memory_format("%s%s%s%s%s", flag->help, flag->repeats ? " (repeatable)" : "",
                      flag->default_text ? " (default: " : "",
                      flag->default_text ? flag->default_text : "", flag->default_text ? ")" : "");
    print_wrapped(text, indent, indent, out);
    fputc('\n', out);
}

static void print_flags(const char *title, const struct command_flag *flags, FILE *out)
{
    int widest = 0;
    for (const struct command_flag *flag = flags; flag && flag->name; flag++)
        if (!flag->hidden && flag_width(flag) > widest)
            widest = flag_width(flag);
    if (!widest)
        return;
    fprintf(out, "\n%s:\n", title);
    for (const struct command_flag *flag = flags; flag->name; flag++)
        if (!flag->hidden)
            print_flag(flag, widest + 4, out);
}

void command_print_usage(const struct command_verb *verb, FILE *out)
{
    fprintf(out, "%s%s%s%s", verb->name, verb->flags ? " [flags]" : "", verb->arguments ? " " : "",
            verb->arguments ? verb->arguments : "");
}

static void print_verb_help(const struct command_program *program, const struct command_verb *verb,
                            FILE *out)
{
    fprintf(out, "%s %s: %s\n\nUsage: %s ", program->name, verb->name, verb->summary,
            program->name);
    command_print_usage(verb, out);
    fputs("\n", out);
    if (verb->description) {
        fputc('\n', out);
        print_description(verb->description, out);
    }
    print_flags("Flags", verb->flags, out);
}

/* What the verb is called among those listed: of a group its name or first alias there, and without
 * one its name, if that is a single word. NULL, or *length bytes. */
static const char *find_listed(const struct command_verb *verb, const struct command_group *group,
                               size_t *length)
{
    size_t prefix = group ? strlen(group->name) : 0;
    *length = strlen(verb->name);
    if (verb->hidden)
        return NULL;
    if (!group)
        return strchr(verb->name, ' ') ? NULL : verb->name;
    for (const char *at = verb->name; at && *at;) {
        if (strncmp(at, group->name, prefix) == 0 && at[prefix] == ' ')
            return at;
        at = at == verb->name ? verb->aliases : at + *length + (at[*length] == ',');
        *length = at ? strcspn(at, ",") : 0;
    }
    return NULL;
}

static void print_summary(const char *name, size_t length, const char *summary, int widest,
                          FILE *out)
{
    fprintf(out, "  %-*.*s  ", widest, (int)length, name);
    print_wrapped(summary, widest + 4, widest + 4, out);
    fputc('\n', out);
}

static void print_verbs(const struct command_program *program, const struct command_group *group,
                        FILE *out)
{
    size_t length, widest = 0;
    for (const struct command_verb *const *at = program->verbs; *at; at++)
        if (find_listed(*at, group, &length) && length > widest)
            widest = length;
    for (const struct command_verb *const *at = program->verbs; *at; at++) {
        const char *listed = find_listed(*at, group, &length);
        if (listed)
            print_summary(listed, length, (*at)->summary, (int)widest, out);
    }
}

static void print_groups(const struct command_group *groups, FILE *out)
{
    int widest = 0;
    for (const struct command_group *group = groups; group->name; group++)
        if ((int)strlen(group->name) > widest)
            widest = (int)strlen(group->name);
    for (const struct command_group *group = groups; group->name; group++)
        print_summary(group->name, strlen(group->name), group->summary, widest, out);
}

void command_print_group_help(const struct command_program *program,
                              const struct command_group *group, FILE *out)
{
    fprintf(out, "%s %s: %s\n\nUsage: %s %s COMMAND [flags] [arguments]\n\nCommands:\n",
            program->name, group->name, group->summary, program->name, group->name);
    print_verbs(program, group, out);
}

void command_print_help(const struct command_program *program, const struct command_verb *verb,
                        FILE *out)
{
    if (verb) {
        print_verb_help(program, verb, out);
        return;
    }
    static const struct command_flag standard_flags[] = {
        {.name = "help", .letter = 'h', .help = "show this, or with a command its own help"},
        {.name = "version", .letter = 'v', .help = "show the version"},
        {0},
    };
    fprintf(out, "%s: %s\n\nUsage: %s [global flags] COMMAND [flags] [arguments]\n", program->name,
            program->summary, program->name);
    if (program->description) {
        fputc('\n', out);
        print_description(program->description, out);
    }
    fputs("\nCommands:\n", out);
    print_verbs(program, NULL, out);
    if (program->groups && program->groups->name) {
        fputs("\nGroups of commands:\n", out);
        print_groups(program->groups, out);
    }
    print_flags("Global flags", program->flags, out);
    print_flags("Everywhere", standard_flags, out);
}
