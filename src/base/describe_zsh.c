#include <string.h>

#include "base/describe.h"

/* Text inside a single-quoted specification of _arguments or _describe. */
static void print_escaped(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

/* What completes a flag's value: ":message:action". */
static void print_value(const struct command_flag *flag, FILE *out)
{
    if (!flag->argument)
        return;
    fputc(':', out);
    print_escaped(flag->argument, out);
    if (flag->choices)
        fprintf(out, ":(%s)", flag->choices);
    else if (strcmp(flag->argument, "FILE") == 0)
        fputs(":_files", out);
    else if (strcmp(flag->argument, "DIRECTORY") == 0)
        fputs(":_files -/", out);
    else
        fputs(": ", out);
}

static void print_form(const char *dashes, const char *name, const struct command_flag *flag,
                       FILE *out)
{
    fprintf(out, " \\\n        '%s%s%s%s[", flag->repeats ? "*" : "", dashes, name,
            flag->argument ? (dashes[1] ? "=" : "+") : "");
    print_escaped(flag->help, out);
    fputc(']', out);
    print_value(flag, out);
    fputc('\'', out);
}

static void print_flags(const struct command_flag *flags, FILE *out)
{
    static const struct command_flag help = {.name = "help", .letter = 'h', .help = "show help"};
    print_form("--", help.name, &help, out);
    for (; flags && flags->name; flags++) {
        if (flags->hidden)
            continue;
        print_form("--", flags->name, flags, out);
        if (flags->letter)
            print_form("-", (const char[]){flags->letter, '\0'}, flags, out);
    }
}

static void print_verb(const struct command_verb *verb, const char *identifier, FILE *out)
{
    char name[DESCRIBE_NAME_SIZE];
    for (size_t i = 0; describe_get_name(verb, i, name); i++)
        fprintf(out, "%s'%s'", i ? " | " : "    ", name);
    fputs(")\n      _arguments -S", out);
    print_flags(verb->flags, out);
    if (describe_completes_objects(verb))
        fprintf(out, " \\\n        '1:container:%s_objects'", identifier);
    else if (verb->max_arguments)
        fputs(" \\\n        '1:name: '", out);
    if (verb->max_arguments < 0)
        fputs(" \\\n        '*:argument: '", out);
    else if (verb->max_arguments > 1)
        fputs(" \\\n        '2:argument: '", out);
    fputs(" ;;\n", out);
}

static void print_words(const struct command_program *program, const struct command_group *group,
                        FILE *out)
{
    char word[DESCRIBE_NAME_SIZE];
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        for (size_t at = 0; (at = describe_next_word(*verb, group, at, word)) > 0;) {
            fprintf(out, "    '%s:", word);
            print_escaped((*verb)->summary, out);
            fputs("'\n", out);
        }
}

/* Of a group alone its commands are offered; with a second word both are the verb. */
static void print_groups(const struct command_program *program, FILE *out)
{
    const struct command_group *group = program->groups;
    if (!group || !group->name)
        return;
    fputs("    local -a members\n    case $words[1] in\n", out);
    for (; group->name; group++) {
        fprintf(out, "    %s) members=(\n", group->name);
        print_words(program, group, out);
        fputs("    ) ;;\n", out);
    }
    fputs("    esac\n"
          "    if (( $#members && CURRENT == 2 )); then\n"
          "      _describe command members\n"
          "      return\n"
          "    elif (( $#members )); then\n"
          "      words=(\"$words[1] $words[2]\" \"${(@)words[3,-1]}\")\n"
          "      (( CURRENT-- ))\n"
          "    fi\n",
          out);
}

void describe_zsh_completion(const struct command_program *program, FILE *out)
{
    char identifier[64];
    int length = snprintf(identifier, sizeof identifier, "_%s", program->name);
    for (int i = 0; i < length; i++)
        if (identifier[i] == '-')
            identifier[i] = '_';
    fprintf(out, "#compdef %s\n# Generated from the program's description of verbs and flags.\n\n",
            program->name);
    if (program->list_objects)
        fprintf(out,
                "%s_objects() {\n  local -a names\n  names=(${(f)\"$(%s 2>/dev/null)\"})\n"
                "  compadd -a names\n}\n\n",
                identifier, program->list_objects);
    fprintf(out, "%s() {\n  local state line\n  typeset -A opt_args\n  local -a verbs\n  verbs=(\n",
            identifier);
    print_words(program, NULL, out);
    for (const struct command_group *group = program->groups; group && group->name; group++) {
        fprintf(out, "    '%s:", group->name);
        print_escaped(group->summary, out);
        fputs("'\n", out);
    }
    fputs("    'help:show help'\n  )\n  _arguments -C", out);
    print_flags(program->flags, out);
    fputs(" \\\n        '--version[show the version]' \\\n        '1:command:->command' \\\n"
          "        '*::argument:->arguments'\n"
          "  case $state in\n  command) _describe command verbs ;;\n  arguments)\n",
          out);
    print_groups(program, out);
    fputs("    case $words[1] in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        print_verb(*verb, identifier, out);
    fprintf(out,
            "    help) _describe command verbs ;;\n    esac ;;\n  esac\n}\n\n"
            "if [[ $funcstack[1] = %s || $funcstack[1] = _%s ]]; then\n  %s \"$@\"\nfi\n",
            identifier, program->name, identifier);
}
