#include <string.h>

#include "base/describe.h"

/* "hull-oci" as a part of a shell function's name. */
static void print_identifier(const char *name, FILE *out)
{
    for (; *name; name++)
        fputc(*name == '-' ? '_' : *name, out);
}

static void print_names(const struct command_flag *flags, FILE *out)
{
    for (; flags && flags->name; flags++) {
        if (flags->hidden)
            continue;
        fprintf(out, " --%s", flags->name);
        if (flags->letter)
            fprintf(out, " -%c", flags->letter);
    }
}

/* The case arms that complete the value of a flag: "scope" is the verb, or empty before it. */
static void print_values(const char *scope, const struct command_flag *flags, FILE *out)
{
    for (; flags && flags->name; flags++) {
        if (!flags->argument)
            continue;
        fprintf(out, "    %s:--%s", scope, flags->name);
        if (flags->letter)
            fprintf(out, " | %s:-%c", scope, flags->letter);
        if (flags->choices)
            fprintf(out, ") values='%s' ;;\n", flags->choices);
        else if (strcmp(flags->argument, "FILE") == 0)
            fputs(") kind=file ;;\n", out);
        else if (strcmp(flags->argument, "DIRECTORY") == 0)
            fputs(") kind=directory ;;\n", out);
        else
            fputs(") kind=any ;;\n", out);
    }
}

/* The function that says what follows a flag: it sets kind and values, to nothing where the flag
 * takes no value. Its caller owns both. */
static void print_value_function(const struct command_program *program, FILE *out)
{
    fputc('_', out);
    print_identifier(program->name, out);
    fputs("_value() { # VERB FLAG\n    kind='' values=''\n    case $1:$2 in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        print_values((*verb)->name, (*verb)->flags, out);
    print_values("*", program->flags, out);
    fputs("    esac\n    [[ -n $kind$values ]]\n}\n\n", out);
}

/* The flags of each verb, and whether its first argument is an object's name. */
static void print_flag_table(const struct command_program *program, FILE *out)
{
    fputs("    case $verb in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++) {
        fprintf(out, "    %s) flags='--help -h", (*verb)->name);
        print_names((*verb)->flags, out);
        fprintf(out, "'%s ;;\n", describe_completes_objects(*verb) ? " names=yes" : "");
    }
    fputs("    help) names=verbs ;;\n    '') flags='--help -h --version -v", out);
    print_names(program->flags, out);
    fputs("' names=verbs ;;\n    esac\n", out);
}

/* Finds the verb and counts its arguments: the words that are neither flags nor their values.
 * bash splits words at equals signs. */
static void print_word_loop(const char *value_function, FILE *out)
{
    fprintf(out,
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        word=${COMP_WORDS[i]}\n"
            "        if [[ $word == = ]]; then\n"
            "            ((i++))\n"
            "        elif [[ ${COMP_WORDS[i + 1]} == = ]]; then\n"
            "            ((i += 2))\n"
            "        elif [[ $word == -* ]]; then\n"
            "            ! %s \"$verb\" \"$word\" || ((i++))\n"
            "        elif [[ -z $verb ]]; then\n"
            "            verb=$word\n"
            "        else\n"
            "            ((arguments++))\n"
            "        fi\n"
            "    done\n"
            "    if [[ $current == = ]]; then\n"
            "        current=''\n"
            "    elif [[ $previous == = ]]; then\n"
            "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
            "    fi\n"
            "    %s \"$verb\" \"$previous\"\n",
            value_function, value_function);
}

static void print_replies(const char *list_objects, FILE *out)
{
    fputs("    if [[ $kind == file ]]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "        return\n"
          "    elif [[ $kind == directory ]]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
          "        return\n"
          "    elif [[ -n $kind ]]; then\n"
          "        return\n"
          "    elif [[ -n $values ]]; then\n"
          "        words=$values\n"
          "    elif [[ $current == -* ]]; then\n"
          "        words=$flags\n"
          "    elif [[ $names == verbs ]]; then\n"
          "        words=$verbs\n",
          out);
    if (list_objects)
        fprintf(out,
                "    elif [[ $names == yes && $arguments -eq 0 ]]; then\n"
                "        words=$(%s 2>/dev/null)\n",
                list_objects);
    fputs("    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n",
          out);
}

void describe_bash_completion(const struct command_program *program, FILE *out)
{
    fprintf(out, "# bash completion for %s, generated from its description of verbs and flags\n\n",
            program->name);
    print_value_function(program, out);
    fputc('_', out);
    print_identifier(program->name, out);
    fputs("() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local verb='' word words='' kind values flags='' names='' i arguments=0\n"
          "    local verbs='",
          out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        fprintf(out, "%s ", (*verb)->name);
    fputs("help'\n    COMPREPLY=()\n", out);
    char value_function[96];
    int length = snprintf(value_function, sizeof value_function, "_%s_value", program->name);
    for (int i = 0; i < length; i++)
        if (value_function[i] == '-')
            value_function[i] = '_';
    print_word_loop(value_function, out);
    print_flag_table(program, out);
    print_replies(program->list_objects, out);
    fputs("}\ncomplete -F _", out);
    print_identifier(program->name, out);
    fprintf(out, " %s\n", program->name);
}
