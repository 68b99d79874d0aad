/* base/command: what people and programs type, read as Go's flag package would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/command.h"
#include "oci/program.h"

/* The words of a command line, read and kept for looking at. */
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
    snprintf(typed->text, sizeof typed->text, "hull-oci %s", text);
    int count = 0;
    for (char *word = strtok(typed->text, " "); word; word = strtok(NULL, " "))
        typed->words[count++] = word;
    typed->result = command_parse(&oci_program, count, typed->words, &typed->line, &typed->err);
}

#define assert_typed(t)                                                                            \
    do {                                                                                           \
        if ((t).result)                                                                            \
            fail_msg("%s", (t).err.text);                                                          \
    } while (0)

static void assert_fails(const char *text, const char *message)
{
    struct typed typed;
    type(&typed, text);
    command_release(&typed.line);
    assert_int_equal(typed.result, -1);
    assert_string_equal(typed.err.text, message);
}

static void values_are_read_in_every_spelling(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "run --bundle /b c", "run --bundle=/b c", "run -bundle /b c",
        "run -bundle=/b c",  "run -b /b c",       "run -b=/b c",
        "run --b /b c",      "run c --bundle /b", "run --bundle /a --bundle /b c",
    };
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct typed typed;
        type(&typed, spellings[i]);
        assert_typed(typed);
        assert_int_equal(typed.line.action, COMMAND_RUN_VERB);
        assert_string_equal(typed.line.verb->name, "run");
        assert_string_equal(command_value(&typed.line, "bundle"), "/b");
        assert_int_equal(typed.line.argument_count, 1);
        assert_string_equal(typed.line.arguments[0], "c");
        assert_null(typed.line.arguments[1]);
        command_release(&typed.line);
    }
}

static void booleans_are_read_in_every_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool given;
    } cases[] = {
        {"delete c", false},
        {"delete --force c", true},
        {"delete -f c", true},
        {"delete c -f", true},
        {"delete --force=true c", true},
        {"delete --force=T c", true},
        {"delete --force=0 c", false},
        {"delete --force --force=false c", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct typed typed;
        type(&typed, cases[i].text);
        assert_typed(typed);
        assert_int_equal(command_given(&typed.line, "force"), cases[i].given);
        command_release(&typed.line);
    }
}

static void global_flags_stand_before_the_verb_or_after_it(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "--root /r --debug --log=/l state c --log-format json");
    assert_typed(typed);
    assert_string_equal(command_global_value(&typed.line, "root"), "/r");
    assert_string_equal(command_global_value(&typed.line, "log"), "/l");
    assert_string_equal(command_global_value(&typed.line, "log-format"), "json");
    assert_true(command_global_given(&typed.line, "debug"));
    assert_false(command_global_given(&typed.line, "systemd-cgroup"));
    command_release(&typed.line);
}

static void a_verb_has_its_own_flag_of_a_global_name(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "--rootless auto spec --rootless");
    assert_typed(typed);
    assert_true(command_given(&typed.line, "rootless"));
    assert_string_equal(command_global_value(&typed.line, "rootless"), "auto");
    command_release(&typed.line);
}

static void repeated_flags_keep_their_order(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "exec -e A=1 --cwd / --env B=2 -e=C=3 c true");
    assert_typed(typed);
    const char **values;
    assert_int_equal(command_values(&typed.line, "env", &values), 3);
    assert_string_equal(values[0], "A=1");
    assert_string_equal(values[1], "B=2");
    assert_string_equal(values[2], "C=3");
    assert_int_equal(command_values(&typed.line, "cap", &values), 0);
    command_release(&typed.line);
}

static void exec_leaves_the_commands_flags_alone(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "exec -t c ls -l --help -- x");
    assert_typed(typed);
    assert_true(command_given(&typed.line, "tty"));
    assert_int_equal(typed.line.action, COMMAND_RUN_VERB);
    assert_int_equal(typed.line.argument_count, 6);
    assert_string_equal(typed.line.arguments[2], "-l");
    assert_string_equal(typed.line.arguments[3], "--help");
    assert_string_equal(typed.line.arguments[4], "--");
    command_release(&typed.line);
}

static void two_dashes_end_the_flags(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "kill --all -- c -x");
    assert_typed(typed);
    assert_int_equal(typed.line.argument_count, 2);
    assert_string_equal(typed.line.arguments[1], "-x");
    command_release(&typed.line);
    type(&typed, "exec -t -- c ls -l");
    assert_typed(typed);
    assert_int_equal(typed.line.argument_count, 3);
    command_release(&typed.line);
}

static void numbers_with_a_sign_are_values_and_arguments(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "update --memory-swap -1 c");
    assert_typed(typed);
    assert_string_equal(command_value(&typed.line, "memory-swap"), "-1");
    command_release(&typed.line);
    type(&typed, "kill c -9 --all");
    assert_typed(typed);
    assert_string_equal(typed.line.arguments[1], "-9");
    assert_true(command_given(&typed.line, "all"));
    command_release(&typed.line);
    type(&typed, "update -r - c");
    assert_typed(typed);
    assert_string_equal(command_value(&typed.line, "resources"), "-");
    command_release(&typed.line);
}

static void help_and_version_are_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *text, *verb;
        enum command_action action;
    } cases[] = {
        {"", NULL, COMMAND_SHOW_HELP},
        {"--help", NULL, COMMAND_SHOW_HELP},
        {"-h run", NULL, COMMAND_SHOW_HELP},
        {"help", NULL, COMMAND_SHOW_HELP},
        {"help exec", "exec", COMMAND_SHOW_HELP},
        {"exec -h", "exec", COMMAND_SHOW_HELP},
        {"state c --help", "state", COMMAND_SHOW_HELP},
        {"--version", NULL, COMMAND_SHOW_VERSION},
        {"-v", NULL, COMMAND_SHOW_VERSION},
        {"--debug -version", NULL, COMMAND_SHOW_VERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct typed typed;
        type(&typed, cases[i].text);
        assert_typed(typed);
        assert_int_equal(typed.line.action, cases[i].action);
        if (cases[i].verb)
            assert_string_equal(typed.line.verb->name, cases[i].verb);
        else
            assert_null(typed.line.verb);
        command_release(&typed.line);
    }
}

static void mistakes_are_one_line_that_helps(void **state)
{
    (void)state;
    assert_fails("rum c", "unknown command 'rum' (did you mean 'run'?)");
    assert_fails("checkpoint c", "unknown command 'checkpoint' (see 'hull-oci --help')");
    assert_fails("help sate", "unknown command 'sate' (did you mean 'state'?)");
    assert_fails("--rot /r list", "unknown flag '--rot' (did you mean '--root'?)");
    assert_fails("run --bundel=/b c", "run: unknown flag '--bundel' (did you mean '--bundle'?)");
    assert_fails("run --xyzzy c", "run: unknown flag '--xyzzy' (see 'hull-oci run --help')");
    assert_fails("run -zq c", "run: unknown flag '-zq' (see 'hull-oci run --help')");
    assert_fails("run ---bundle c", "run: unknown flag '---bundle' (did you mean '--bundle'?)");
    assert_fails("run --=x c", "run: unknown flag '--' (see 'hull-oci run --help')");
    assert_fails("run c --bundle", "run: flag '--bundle' needs a value: DIRECTORY");
    assert_fails("delete --force=perhaps c",
                 "delete: flag '--force' takes no value but true or false");
    assert_fails("list -f yaml", "list: flag '-f' takes one of: table json; not 'yaml'");
    assert_fails("list -f tab", "list: flag '-f' takes one of: table json; not 'tab'");
    assert_fails("state", "state: argument missing (usage: hull-oci state CONTAINER-ID)");
    assert_fails("run a b",
                 "run: unexpected argument 'b' (usage: hull-oci run [flags] CONTAINER-ID)");
    assert_fails("features now", "features: unexpected argument 'now' (usage: hull-oci features)");
}

static void an_error_still_tells_where_to_log(void **state)
{
    (void)state;
    struct typed typed;
    type(&typed, "--log /l --log-format json rum");
    assert_int_equal(typed.result, -1);
    assert_string_equal(command_global_value(&typed.line, "log"), "/l");
    assert_string_equal(command_global_value(&typed.line, "log-format"), "json");
    command_release(&typed.line);
}

static char *help_of(const struct command_verb *verb)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    command_print_help(&oci_program, verb, out);
    fclose(out);
    return text;
}

static void help_names_every_flag_and_fits_the_terminal(void **state)
{
    (void)state;
    for (const struct command_verb *const *verb = oci_program.verbs; *verb; verb++) {
        char *text = help_of(*verb);
        for (const struct command_flag *flag = (*verb)->flags; flag && flag->name; flag++) {
            char name[64];
            snprintf(name, sizeof name, "--%s ", flag->name);
            if (!flag->hidden && !strstr(text, name))
                fail_msg("%s --help doesn't show %s", (*verb)->name, name);
            if (flag->hidden && strstr(text, name))
                fail_msg("%s --help shows %s", (*verb)->name, name);
        }
        for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n"))
            if (strlen(at) > 100)
                fail_msg("too long: %s", at);
        free(text);
    }
    char *text = help_of(NULL);
    assert_non_null(strstr(text, "--systemd-cgroup"));
    assert_non_null(strstr(text, "  update    "));
    free(text);
}

/* The parser finds the first flag of a name or letter: a second would be dead. */
static void no_two_flags_of_a_verb_share_a_name(void **state)
{
    (void)state;
    for (const struct command_verb *const *verb = oci_program.verbs; *verb; verb++)
        for (const struct command_flag *flag = (*verb)->flags; flag && flag->name; flag++)
            for (const struct command_flag *other = flag + 1; other->name; other++) {
                assert_string_not_equal(flag->name, other->name);
                assert_false(flag->letter && flag->letter == other->letter);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_in_every_spelling),
        cmocka_unit_test(booleans_are_read_in_every_spelling),
        cmocka_unit_test(global_flags_stand_before_the_verb_or_after_it),
        cmocka_unit_test(a_verb_has_its_own_flag_of_a_global_name),
        cmocka_unit_test(repeated_flags_keep_their_order),
        cmocka_unit_test(exec_leaves_the_commands_flags_alone),
        cmocka_unit_test(two_dashes_end_the_flags),
        cmocka_unit_test(numbers_with_a_sign_are_values_and_arguments),
        cmocka_unit_test(help_and_version_are_asked_for),
        cmocka_unit_test(mistakes_are_one_line_that_helps),
        cmocka_unit_test(an_error_still_tells_where_to_log),
        cmocka_unit_test(help_names_every_flag_and_fits_the_terminal),
        cmocka_unit_test(no_two_flags_of_a_verb_share_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
