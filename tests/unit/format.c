/* cli/format: templates of --format, as Go's text/template would fill them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/format.h"

static const char document[] =
    "{\"Id\":\"abc\",\"Name\":\"web\",\"Size\":12,\"Ratio\":0.5,\"Empty\":\"\",\"Off\":false,"
    "\"Nothing\":null,\"List\":[\"a\",\"b\",\"c\"],\"None\":[],"
    "\"State\":{\"Running\":true,\"Pid\":42},"
    "\"Labels\":{\"b\":\"2\",\"a\":\"1\",\"com.x/y\":\"z\"},"
    "\"Ports\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]},\"Nets\":{\"n1\":{\"IP\":\"1.2.3.4\"},"
    "\"n0\":{\"IP\":\"5.6.7.8\"}},\"Label\":{\"k\":\"v\"}}";

static char *fill(const char *text, struct error *err)
{
    json_t *value = json_loads(document, 0, NULL);
    assert_non_null(value);
    struct format *format = format_parse(text, err);
    char *result = format ? format_make_text(format, value, err) : NULL;
    format_release(format);
    json_decref(value);
    return result;
}

static const char *const results[][2] = {
    {"plain", "plain"},
    {"", ""},
    {"{{.Name}}", "web"},
    {"{{ .Name }}-{{.Size}}", "web-12"},
    {"{{.ID}}", "abc"},
    {"{{.State.Running}} {{.State.Pid}}", "true 42"},
    {"{{.Ratio}}", "0.5"},
    {"{{.List}} {{.None}}", "[a b c] []"},
    {"{{.Labels}}", "map[a:1 b:2 com.x/y:z]"},
    {"{{.Labels.a}} {{.Labels.missing}}", "1 <no value>"},
    {"{{.Nothing}}", "<no value>"},
    {"{{json .State}}", "{\"Running\":true,\"Pid\":42}"},
    {"{{.List | json}}", "[\"a\",\"b\",\"c\"]"},
    {"{{json .Name}} {{json .Nothing}}", "\"web\" null"},
    {"{{range .List}}<{{.}}>{{end}}", "<a><b><c>"},
    {"{{range .None}}x{{else}}none{{end}}", "none"},
    {"{{range $i, $x := .List}}{{$i}}={{$x}} {{end}}", "0=a 1=b 2=c "},
    {"{{range $k, $v := .Nets}}{{$k}}:{{$v.IP}} {{end}}", "n0:5.6.7.8 n1:1.2.3.4 "},
    {"{{range .Nets}}{{.IP}} {{end}}", "5.6.7.8 1.2.3.4 "},
    {"{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"},
    {"{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"},
    {"{{range .List}}{{$.Name}}{{end}}", "webwebweb"},
    {"{{$x := \"1\"}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "c"},
    {"{{if .State.Running}}up{{else}}down{{end}}", "up"},
    {"{{if .Off}}a{{else if .Empty}}b{{else}}c{{end}}", "c"},
    {"{{if .Health}}{{.Health.Status}}{{else}}none{{end}}", "none"},
    {"{{with .State}}{{.Pid}}{{end}}", "42"},
    {"{{with .Health}}{{.Status}}{{else with .State}}{{.Pid}}{{end}}", "42"},
    {"{{with $s := .State}}{{$s.Pid}}{{$.Size}}{{end}}", "4212"},
    {"{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"},
    {"{{index .Labels \"com.x/y\"}}{{index .Labels \"missing\"}}", "z"},
    {"{{index .List 2}}", "c"},
    {"{{len .List}} {{len .Name}} {{len .Labels}}", "3 3 3"},
    {"{{join .List \",\"}}", "a,b,c"},
    {"{{split \"a:b::c\" \":\"}}", "[a b  c]"},
    {"{{upper .Name}} {{lower \"AbC\"}} {{title \"two words\"}}", "WEB abc Two Words"},
    {"{{truncate \"gr\xc3\xb6\xc3\x9f"
     "er\" 3}}",
     "gr\xc3\xb6"},
    {"[{{pad .Name 2 1}}]", "[  web ]"},
    {"{{println .Name 1}}", "web 1\n"},
    {"{{print 1 2 \"a\" 3}}", "1 2a3"},
    {"{{printf \"%-5s|%5s|%05d|%x|%q|%v|%t|%%\" .Name .Name 7 255 \"a\\\"b\" .List true}}",
     "web  |  web|00007|ff|\"a\\\"b\"|[a b c]|true|%"},
    {"{{printf \"%.2f %.2s\" .Ratio .Name}}", "0.50 we"},
    {"{{printf \"%d %s\" .Name}}", "%!d(web) %!s(MISSING)"},
    {"{{.Name | upper | printf \"%s-%s\" \"x\"}}", "x-WEB"},
    {"{{eq .Size 12}} {{eq .Name \"a\" \"web\"}} {{ne 1 2}} {{lt 1 2}} {{ge \"a\" \"b\"}}",
     "true true true true false"},
    {"{{and 1 0}} {{and .Name .Size}} {{or 0 \"\" .Name}} {{not .Off}}", "0 12 web true"},
    {"{{and .Off (index .List 99)}}", "false"},
    {"{{slice .Id 1}} {{slice .Id 0 2}} {{slice .List 1}}", "bc ab [b c]"},
    {"a {{- .Name -}} \n b", "awebb"},
    {"a{{/* a }} comment */}}b", "ab"},
    {"{{`raw \\n`}} {{\"\\u00e9\\x41\\t\"}} {{'a'}} {{-3}} {{0x10}} {{1.5}}", "raw \\n \xc3\xa9"
                                                                              "A\t 97 -3 16 1.5"},
    {"{{.Label \"k\"}}{{.Label \"other\"}}", "v"},
    {"}} { {", "}} { {"},
};

static void templates_are_filled_as_go_fills_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        struct error err = {0};
        char *text = fill(results[i][0], &err);
        if (!text)
            fail_msg("%s: %s", results[i][0], err.text);
        assert_string_equal(text, results[i][1]);
        free(text);
    }
}

static const char *const failures[][2] = {
    {"{{.Nmae}}", "format: line 1, column 3: there is no field '.Nmae' (see {{json .}})"},
    {"\n {{.Name.X}}", "format: line 2, column 4: '.X' is asked of what has no fields"},
    {"{{.Nothing.X}}", "format: line 1, column 3: '.X' is asked of what isn't there"},
    {"{{", "format: line 1, column 3: the template ends within {{ (close it with }})"},
    {"{{}}", "format: line 1, column 3: a value or function is missing"},
    {"{{.Name", "format: line 1, column 8: the template ends within {{ (close it with }})"},
    {"{{.Name}", "format: line 1, column 8: unexpected '}' after a value"},
    {"{{if .Name}}x",
     "format: line 1, column 3: the block has no {{end}}, or more than one {{else}}"},
    {"{{end}}", "format: line 1, column 8: {{end}} or {{else}} without a block before it"},
    {"{{jsn .}}", "format: line 1, column 3: there is no function 'jsn'"},
    {"{{\"a}}", "format: line 1, column 3: the quotation mark has no counterpart"},
    {"{{(len .Name}}", "format: line 1, column 3: the parenthesis has no counterpart"},
    {"{{$x}}", "format: line 1, column 3: there is no variable '$x'"},
    {"{{index .List 3}}", "format: line 1, column 3: 3 is out of range"},
    {"{{index .List \"a\"}}", "format: line 1, column 3: argument 2 must be an integer"},
    {"{{len}}", "format: line 1, column 3: 'len' takes 1 arguments, not 0"},
    {"{{len 1}}", "format: line 1, column 3: len takes a text, list or map"},
    {"{{eq 1 \"a\"}}", "format: line 1, column 3: values of these types can't be compared"},
    {"{{range .Name}}{{end}}", "format: line 1, column 3: range takes a list or a map"},
    {"{{break}}", "format: line 1, column 8: outside of {{range}}"},
    {"{{.Name | .Id}}", "format: line 1, column 11: what follows | must be a function"},
    {"{{.Name \"x\"}}", "format: line 1, column 3: a value that is no function has arguments"},
    {"{{99999999999999999999}}", "format: line 1, column 23: the number is too large"},
    {"{{/* x}}", "format: line 1, column 3: the comment has no end"},
    {"{{\"\\q\"}}", "format: line 1, column 4: unknown escape '\\q'"},
};

static void errors_name_the_position(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        struct error err = {0};
        char *text = fill(failures[i][0], &err);
        if (text)
            fail_msg("%s gave %s", failures[i][0], text);
        assert_string_equal(err.text, failures[i][1]);
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static char text[400000];
    for (size_t depth = 10; depth <= 20000; depth *= 2000) {
        text[0] = '\0';
        char *at = stpcpy(text, "{{");
        for (size_t i = 0; i < depth; i++)
            *at++ = '(';
        at = stpcpy(at, ".Name");
        for (size_t i = 0; i < depth; i++)
            *at++ = ')';
        strcpy(at, "}}");
        struct error err = {0};
        char *result = fill(text, &err);
        assert_int_equal(result != NULL, depth == 10);
        free(result);
        at = text;
        for (size_t i = 0; i < depth; i++)
            at = stpcpy(at, "{{if 1}}");
        for (size_t i = 0; i < depth; i++)
            at = stpcpy(at, "{{end}}");
        result = fill(text, &err);
        assert_int_equal(result != NULL, depth == 10);
        free(result);
    }
}

static void json_of_a_row_leaves_its_map_of_labels_out(void **state)
{
    (void)state;
    struct error err = {0};
    char *text = fill("{{json .}}", &err);
    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(json_object_get(row, "Labels"));
    assert_null(json_object_get(row, "Label"));
    json_decref(row);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_filled_as_go_fills_them),
        cmocka_unit_test(errors_name_the_position),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(json_of_a_row_leaves_its_map_of_labels_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
