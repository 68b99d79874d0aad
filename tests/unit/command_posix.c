/* base/command: the syntax that docker's flags have, verbs of two words, aliases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/command.h"

static const struct command_verb verb_run = {
    .name = "run",
    .aliases = "container run",
    .arguments = "IMAGE [COMMAND…]",
    .summary = "run something",
    .flags =
        (const struct command_flag[]){
            {.name = "interactive", .letter = 'i', .help = "keep standard input"},
            {.name = "tty", .letter = 't', .help = "a terminal"},
            {.name = "publish",
             .letter = 'p',
             .argument = "PORT",
             .help = "a port",
             .repeats = true},
            {.name = "env", .letter = 'e', .argument = "NAME=VALUE", .help = "x", .repeats = true},
            {.name = "pull", .argument = "WHEN", .help = "x", .choices = "always never"},
            {.name = "restart",
             .letter = 'r',
             .argument = "POLICY",
             .help = "x",
             .choices = "no always"},
            {0},
        },
    .min_arguments = 1,
    .max_arguments = -1,
    .options_first = true,
};
static const struct command_verb verb_list = {
    .name = "container ls",
    .aliases = "ps,container list",
    .summary = "list them",
    .flags = (const struct command_flag[]){{.name = "all", .letter = 'a', .help = "all"}, {0}},
};
static const struct command_verb verb_prune = {.name = "volume prune", .summary = "remove some"};
static const struct command_verb *const verbs[] = {&verb_run, &verb_list, &verb_prune, NULL};
static const struct command_flag global_flags[] = {
    {.name = "root", .argument = "DIRECTORY", .help = "where"},
    {.name = "debug", .letter = 'D', .help = "more"},
    {0},
};
static const struct command_group groups[] = {
    {"container", "containers"}, {"volume", "volumes"}, {0}};
static const struct command_program program = {
    .name = "dock",
    .summary = "of this test",
    .flags = global_flags,
    .verbs = verbs,
    .groups = groups,
    .syntax = COMMAND_SYNTAX_POSIX,
};

struct typed {
    char text[256];
    char *words[32];
    int result;
    struct command_line line;
    struct error err;
};

static void type(struct typed *typed, const char *text)
{
    *typed = (struct typed){0};
    snprintf(typed->text, sizeof typed->text, "dock %s", text);
    int count = 0;
    for (char *word = strtok(typed->text, " "); word; word = strtok(NULL, " "))
        typed->words[count++] = word;
    typed->result = command_parse(&program, count, typed->words, &typed->line, &typed->err);
}

static void assert_fails(const char *text, const char *message)
{
    struct typed typed;
    type(&typed, text);
    command_release(&typed.line);
    assert_int_equal(typed.result, -1);
    assert_string_equal(typed.err.text, message);
}

static void assert_runs(struct typed *typed, const char *text, const struct command_verb *verb)
{
    type(typed, text);
    if (typed->result < 0)
        fail_msg("%s: %s", text, typed->err.text);
    assert_int_equal(typed->line.action, COMMAND_RUN_VERB);
    assert_ptr_equal(typed->line.verb, verb);
}

static void letters_combine(void **state)
{
    (void)state;
    static const char *const spellings[] = {"run -it image", "run -ti image", "run -i -t image",
                                            "run -i --tty image", "run -it=true image"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct typed typed;
        assert_runs(&typed, spellings[i], &verb_run);
        assert_true(command_given(&typed.line, "interactive"));
        assert_true(command_given(&typed.line, "tty"));
        assert_string_equal(typed.line.arguments[0], "image");
        command_release(&typed.line);
    }
    struct typed typed;
    assert_runs(&typed, "run -it=false image", &verb_run);
    assert_true(command_given(&typed.line, "interactive"));
    assert_false(command_given(&typed.line, "tty"));
    command_release(&typed.line);
}

static void the_last_letter_takes_a_value(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "run -p 8080:80 image",        "run -p8080:80 image",   "run -p=8080:80 image",
        "run -itp 8080:80 image",      "run -itp8080:80 image", "run --publish 8080:80 image",
        "run --publish=8080:80 image",
    };
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct typed typed;
        assert_runs(&typed, spellings[i], &verb_run);
        assert_string_equal(command_value(&typed.line, "publish"), "8080:80");
        assert_int_equal(typed.line.argument_count, 1);
        command_release(&typed.line);
    }
}

/* What follows the letter is its value, whatever it looks like; more letters than words fit. */
static void values_may_look_like_letters(void **state)
{
    (void)state;
    struct typed typed;
    assert_runs(&typed, "run -eit -e A=b=c -itititititititititit image -it", &verb_run);
    const char **values;
    assert_int_equal(command_values(&typed.line, "env", &values), 2);
    assert_string_equal(values[0], "it");
    assert_string_equal(values[1], "A=b=c");
    assert_int_equal(typed.line.argument_count, 2);
    assert_string_equal(typed.line.arguments[1], "-it");
    command_release(&typed.line);
}

static void verbs_have_groups_and_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const struct command_verb *verb;
    } cases[] = {
        {"run x", &verb_run},
        {"container run x", &verb_run},
        {"container ls -a", &verb_list},
        {"container list -a", &verb_list},
        {"ps -a", &verb_list},
        {"volume prune", &verb_prune},
        {"-D container ls", &verb_list},
        {"container -D ls", &verb_list},
        {"container --root /r ls", &verb_list},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct typed typed;
        assert_runs(&typed, cases[i].text, cases[i].verb);
        command_release(&typed.line);
    }
}

static void a_group_alone_asks_for_help(void **state)
{
    (void)state;
    static const char *const texts[] = {"container", "container --help", "help container",
                                        "container -h"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct typed typed;
        type(&typed, texts[i]);
        assert_int_equal(typed.result, 0);
        assert_int_equal(typed.line.action, COMMAND_SHOW_HELP);
        assert_null(typed.line.verb);
        assert_string_equal(typed.line.group->name, "container");
        command_release(&typed.line);
    }
    struct typed typed;
    type(&typed, "help container ls");
    assert_int_equal(typed.result, 0);
    assert_ptr_equal(typed.line.verb, &verb_list);
    command_release(&typed.line);
}

static void mistakes_are_one_line_that_helps(void **state)
{
    (void)state;
    assert_fails("contianer ls", "unknown command 'contianer' (did you mean 'container'?)");
    assert_fails("container lst", "unknown command 'container lst' (did you mean 'container ls'?)");
    assert_fails("run -ix image", "run: unknown flag '-x' in '-ix' (see 'dock run --help')");
    assert_fails("run -tty image", "run: unknown flag '-y' in '-tty' (did you mean '--tty'?)");
    assert_fails("run -p", "run: flag '-p' needs a value: PORT");
    assert_fails("run -rnever image", "run: flag '-rnever' takes one of: no always; not 'never'");
    assert_fails("run --pul always image", "run: unknown flag '--pul' (did you mean '--pull'?)");
    assert_fails("run --pull=often image",
                 "run: flag '--pull' takes one of: always never; not 'often'");
}

static char *print(void (*help)(FILE *out))
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    help(out);
    fclose(out);
    return text;
}

static void print_group(FILE *out)
{
    command_print_group_help(&program, &groups[0], out);
}

static void print_program(FILE *out)
{
    command_print_help(&program, NULL, out);
}

static void help_lists_groups_and_their_verbs(void **state)
{
    (void)state;
    char *text = print(print_program);
    assert_non_null(strstr(text, "\n  run  run something\n"));
    assert_non_null(strstr(text, "\n  container  containers\n  volume     volumes\n"));
    assert_null(strstr(text, "volume prune"));
    free(text);
    text = print(print_group);
    assert_non_null(strstr(text, "\n  container ls   list them\n"));
    assert_non_null(strstr(text, "\n  container run  run something\n"));
    assert_null(strstr(text, "prune"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_combine),
        cmocka_unit_test(the_last_letter_takes_a_value),
        cmocka_unit_test(values_may_look_like_letters),
        cmocka_unit_test(verbs_have_groups_and_aliases),
        cmocka_unit_test(a_group_alone_asks_for_help),
        cmocka_unit_test(mistakes_are_one_line_that_helps),
        cmocka_unit_test(help_lists_groups_and_their_verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
