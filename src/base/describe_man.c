#include <ctype.h>
#include <string.h>

#include "base/describe.h"

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
    print_flags(verb->flags, out);
}

void describe_man_page(const struct command_program *program, const char *version, FILE *out)
{
    fputs(".TH ", out);
    for (const char *at = program->name; *at; at++) {
        if (*at == '-')
            fputc('\\', out);
        fputc(toupper(*at), out);
    }
    fprintf(out, " 8 \"\" \"hull %s\" \"System administration\"\n.SH NAME\n", version);
    print_word(program->name, out);
    fputs(" \\- ", out);
    print_word(program->summary, out);
    fputs("\n.SH SYNOPSIS\n\\fB", out);
    print_word(program->name, out);
    fputs("\\fR [\\fIglobal flags\\fR] \\fIcommand\\fR [\\fIflags\\fR] [\\fIarguments\\fR]\n", out);
    fputs(".SH DESCRIPTION\n", out);
    print_description(program->description, true, out);
    fputs(".PP\nA flag's value is its next word, or follows it after an equals sign.\n"
          "One dash is as good as two.\n"
          "Flags may stand before and after a command\\(aqs arguments,\n"
          "except where the arguments are a command line themselves.\n"
          "\\fB\\-\\-\\fR ends the flags.\n.SH GLOBAL FLAGS\n",
          out);
    print_flags(program->flags, out);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow help, after a command its own.\n"
          ".TP\n\\fB\\-v\\fR, \\fB\\-\\-version\\fR\nShow the version.\n.SH COMMANDS\n",
          out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        print_verb(*verb, out);
    for (const struct command_section *section = program->sections; section && section->title;
         section++) {
        fprintf(out, ".SH %s\n", section->title);
        print_description(section->text, true, out);
    }
}
