#include <string.h>

#include "base/describe.h"

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
static void print_value_function(const struct command_program *program, const char *function,
                                 FILE *out)
{
    fprintf(out, "%s", function);
    fputs("_value() { # VERB FLAG\n    kind='' values=''\n    case $1:$2 in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++) {
        char scope[DESCRIBE_NAME_SIZE + 2];
        snprintf(scope, sizeof scope, "'%s'", (*verb)->name);
        print_values(scope, (*verb)->flags, out);
    }
    print_values("*", program->flags, out);
    fputs("    esac\n    [[ -n $kind$values ]]\n}\n\n", out);
}

/* Whether a verb that goes by several names, or names with a group, is among the program's. */
static bool has_groups(const struct command_program *program)
{
    return program->groups && program->groups->name;
}

static void print_words(const struct command_program *program, const struct command_group *group,
                        FILE *out)
{
    char word[DESCRIBE_NAME_SIZE];
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++)
        for (size_t at = 0; (at = describe_next_word(*verb, group, at, word)) > 0;)
            fprintf(out, "%s ", word);
}

/* What the words so far mean: a verb goes by its name, whatever alias was typed; of a group alone
 * the commands are offered. */
static void print_names_of_verbs(const struct command_program *program, FILE *out)
{
    char name[DESCRIBE_NAME_SIZE];
    fputs("    case $verb in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++) {
        if (!describe_get_name(*verb, 1, name))
            continue;
        fprintf(out, "    '%s'", name);
        for (size_t i = 2; describe_get_name(*verb, i, name); i++)
            fprintf(out, " | '%s'", name);
        fprintf(out, ") verb='%s' ;;\n", (*verb)->name);
    }
    for (const struct command_group *group = program->groups; has_groups(program) && group->name;
         group++) {
        fprintf(out, "    '%s') verbs='", group->name);
        print_words(program, group, out);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n", out);
}

static void print_group_arms(const struct command_program *program, FILE *out)
{
    for (const struct command_group *group = program->groups; has_groups(program) && group->name;
         group++)
        fprintf(out, "    '%s') flags='--help -h' names=verbs ;;\n", group->name);
}

/* The flags of each verb, and whether its first argument is an object's name. */
static void print_flag_table(const struct command_program *program, FILE *out)
{
    fputs("    case $verb in\n", out);
    for (const struct command_verb *const *verb = program->verbs; *verb; verb++) {
        fprintf(out, "    '%s') flags='--help -h", (*verb)->name);
        print_names((*verb)->flags, out);
        fprintf(out, "'%s ;;\n", describe_completes_objects(*verb) ? " names=yes" : "");
    }
    print_group_arms(program, out);
    fputs("    help) names=verbs ;;\n    '') flags='--help -h --version -v", out);
    print_names(program->flags, out);
    fputs("' names=verbs ;;\n    esac\n", out);
}

/* Finds the verb and counts its arguments: the words that are neither flags nor their values.
 * bash splits words at equals signs. */
static void print_word_loop(const char *function, FILE *out)
{
    fprintf(out,
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        word=${COMP_WORDS[i]}\n"
            "        if [[ $word == = ]]; then\n"
            "            ((i++))\n"
            "        elif [[ ${COMP_WORDS[i + 1]} == = ]]; then\n"
            "            ((i += 2))\n"
            "        elif [[ $word == -* ]]; then\n"
            "            ! %s_value \"$verb\" \"$word\" || ((i++))\n"
            "        elif [[ -z $verb ]]; then\n"
            "            verb=$word\n"
            "            %s_verb\n"
            "        elif [[ \" $groups \" == *\" $verb \"* ]]; then\n"
            "            verb+=\" $word\"\n"
            "            %s_verb\n"
            "        else\n"
            "            ((arguments++))\n"
            "        fi\n"
            "    done\n"
            "    if [[ $current == = ]]; then\n"
            "        current=''\n"
            "    elif [[ $previous == = ]]; then\n"
            "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
            "    fi\n"
            "    %s_value \"$verb\" \"$previous\"\n",
            function, function, function, function);
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

/* The function that puts what is known of verb into verb and verbs, which its caller owns. */
static void print_verb_function(const struct command_program *program, const char *function,
                                FILE *out)
{
    fprintf(out, "%s_verb() {\n    :\n", function);
    print_names_of_verbs(program, out);
    fputs("}\n\n", out);
}

void describe_bash_completion(const struct command_program *program, FILE *out)
{
    char function[DESCRIBE_NAME_SIZE];
    snprintf(function, sizeof function, "_%s", program->name);
    for (char *at = function; *at; at++)
        *at = *at == '-' ? '_' : *at;
    fprintf(out, "# bash completion for %s, generated from its description of verbs and flags\n\n",
            program->name);
    print_value_function(program, function, out);
    print_verb_function(program, function, out);
    fprintf(out,
            "%s() {\n"
            "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
            "    local verb='' word words='' kind values flags='' names='' i arguments=0\n"
            "    local groups='",
            function);
    for (const struct command_group *group = program->groups; group && group->name; group++)
        fprintf(out, "%s ", group->name);
    fputs("' verbs='", out);
    print_words(program, NULL, out);
    for (const struct command_group *group = program->groups; group && group->name; group++)
        fprintf(out, "%s ", group->name);
    fputs("help'\n    COMPREPLY=()\n", out);
    print_word_loop(function, out);
    print_flag_table(program, out);
    print_replies(program->list_objects, out);
    fprintf(out, "}\ncomplete -F %s %s\n", function, program->name);
}
