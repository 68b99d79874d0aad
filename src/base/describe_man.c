#include <ctype.h>
#include <string.h>

#include "base/describe.h"

/* A character beyond ASCII by its number, since troff reads Latin-1; returns its length. */
static size_t print_character(const char *text, size_t length, FILE *out)
{
    unsigned char first = (unsigned char)text[0];
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned int code = first & (0x7f >> size);
    for (size_t i = 1; i < size && i < length; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    fprintf(out, "\\[u%04X]", code);
    return size < length ? size : length;
}

/* Text as roff wants it: backslashes and hyphens escaped, and no line that begins with a control
 * character. */
static void print_escaped(const char *text, size_t length, FILE *out)
{
    if (length && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else if (text[i] == '\'')
            fputs("\\(aq", out);
        else if ((unsigned char)text[i] >= 0x80)
            i += print_character(text + i, length - i, out) - 1;
        else
            fputc(text[i], out);
    }
}

static void print_word(const char *text, FILE *out)
{
    print_escaped(text, strlen(text), out);
}

#define LINE_LENGTH 76

/* Prose, a new line for each sentence and before a line gets long: roff fills lines itself. */
static void print_prose(const char *text, size_t length, FILE *out)
{
    const char *end = text + length;
    size_t column = 0;
    bool sentence_ended = false;
    while (text < end) {
        const char *blank = memchr(text, ' ', (size_t)(end - text));
        size_t word = (size_t)((blank ? blank : end) - text);
        bool new_line = sentence_ended || column + 1 + word > LINE_LENGTH;
        if (column && new_line)
            column = 0;
        if (text > end - length)
            fputc(new_line ? '\n' : ' ', out);
        print_escaped(text, word, out);
        column += word + 1;
        sentence_ended = word && text[word - 1] == '.';
        text += blank ? word + 1 : word;
    }
    fputc('\n', out);
}

/* Paragraphs and examples, as command.h defines them. */
static void print_description(const char *text, bool heading_before, FILE *out)
{
    bool example = false, gap = heading_before, first = true;
    while (*text) {
        size_t length = strcspn(text, "\n");
        bool indented = text[0] == ' ';
        if (indented != example)
            fputs(indented ? (gap ? ".nf\n.RS 4\n" : ".PP\n.nf\n.RS 4\n") : ".RE\n.fi\n", out);
        example = indented;
        if (indented) {
            size_t blanks = strspn(text, " ");
            print_escaped(text + blanks, length - blanks, out);
            fputc('\n', out);
        } else if (length) {
            if (!first && !gap)
                fputs(".PP\n", out);
            print_prose(text, length, out);
        }
        gap = false;
        first = false;
        text += length;
        if (*text)
            text++;
    }
    if (example)
        fputs(".RE\n.fi\n", out);
}

static void print_flag(const struct command_flag *flag, FILE *out)
{
    fputs(".TP\n", out);
    if (flag->letter) {
        fputs("\\fB\\-", out);
        fputc(flag->letter, out);
        fputs("\\fR, ", out);
    }
    fputs("\\fB\\-\\-", out);
    print_word(flag->name, out);
    fputs("\\fR", out);
    if (flag->argument) {
        fputs(" \\fI", out);
        print_word(flag->argument, out);
        fputs("\\fR", out);
    }
    char help[1024];
    int length =
        snprintf(help, sizeof help, "%c%s%s%s%s.", toupper(flag->help[0]), flag->help + 1,
                 flag->default_text ? " (default: " : "",
                 flag->default_text ? flag->default_text : "", flag->default_text ? ")" : "");
    fputc('\n', out);
    print_prose(help, (size_t)length, out);
    if (flag->repeats)
        fputs("May be given several times.\n", out);
}

static void print_flags(const struct command_flag *flags, FILE *out)
{
    for (; flags && flags->name; flags++)
        if (!flags->hidden)
            print_flag(flags, out);
}

/* "run [flags] CONTAINER-ID" with the words a user replaces in italics. */
static void print_usage(const struct command_verb *verb, FILE *out)
{
    fputs("\\fB", out);
    print_word(verb->name, out);
    fputs("\\fR", out);
    if (verb->flags)
        fputs(" [\\fIflags\\fR]", out);
    if (verb->arguments) {
        fputs(" \\fI", out);
        print_word(verb->arguments, out);
        fputs("\\fR", out);
    }
    fputc('\n', out);
}

static void print_aliases(const struct command_verb *verb, FILE *out)
{
    char name[DESCRIBE_NAME_SIZE];
    for (size_t i = 1; describe_get_name(verb, i, name); i++) {
        fputs(i == 1 ? ".PP\nThe same as \\fB" : ", \\fB", out);
        print_word(name, out);
        fputs("\\fR", out);
    }
    if (verb->aliases && *verb->aliases)
        fputs(".\n", out);
}

static void print_verb(const struct command_verb *verb, FILE *out)
{
    fputs(".SS ", out);
    print_usage(verb, out);
    fputc(toupper(verb->summary[0]), out);
    print_word(verb->summary + 1, out);
    fputs(".\n", out);
    if (verb->description) {
        fputs(".PP\n", out);
        print_description(verb->description, true, out);
    }
    print_aliases(verb, out);
    print_flags(verb->flags, out);
}

static void print_syntax(enum command_syntax syntax, FILE *out)
{
    fputs("A flag's value is its next word, or follows it after an equals sign.\n", out);
    fputs(syntax == COMMAND_SYNTAX_GO ? "One dash is as good as two.\n"
                                      : "Flags of one letter combine, as in \\fB\\-it\\fR.\n",
          out);
    fputs("Flags may stand before and after a command\\(aqs arguments,\n"
          "except where the arguments are a command line themselves.\n"
          "\\fB\\-\\-\\fR ends the flags.\n",
          out);
}

static void print_groups(const struct command_group *groups, FILE *out)
{
    if (!groups || !groups->name)
        return;
    fputs(".SH GROUPS OF COMMANDS\n", out);
    for (; groups->name; groups++) {
        fputs(".TP\n\\fB", out);
        print_word(groups->name, out);
        fputs("\\fR\n", out);
        fputc(toupper(groups->summary[0]), out);
        print_word(groups->summary + 1, out);
        fputs(".\n", out);
    }
}

void describe_man_page(const struct command_program *program, int section, const char *version,
                       FILE *out)
{
    fputs(".TH ", out);
    for (const char *at = program->name; *at; at++) {
        if (*at == '-')
            fputc('\\', out);
        fputc(toupper(*at), out);
    }
    fprintf(out, " %d \"\" \"hull %s\" \"%s\"\n.SH NAME\n", section, version,
            section == 8 ? "System administration" : "User commands");
    print_word(program->name, out);
    fputs(" \\- ", out);
    print_word(program->summary, out);
    fputs("\n.SH SYNOPSIS\n\\fB", out);
    print_word(program->name, out);
    fputs("\\fR [\\fIglobal flags\\fR] \\fIcommand\\fR [\\fIflags\\fR] [\\fIarguments\\fR]\n", out);
    fputs(".SH DESCRIPTION\n", out);
    if (program->description) {
        print_description(program->description, true, out);
        fputs(".PP\n", out);
    }
    print_syntax(program->syntax, out);
    print_groups(program->groups, out);
    fputs(".SH GLOBAL FLAGS\n", out);
    print_flags(program->flags, out);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow help, after a command its own.\n"
          ".TP\n\\fB\\-v\\fR, \\fB\\-\\-version\\fR\nShow the version.\n.SH COMMANDS\n",
          out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        if (!(*verb)->hidden)
            print_verb(*verb, out);
    for (const struct command_section *part = program->sections; part && part->title; part++) {
        fprintf(out, ".SH %s\n", part->title);
        print_description(part->text, true, out);
    }
}
