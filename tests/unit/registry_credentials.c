/* image/registry_credentials: docker's config.json, read and written, and helpers behind it. */
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/file.h"
#include "image/registry_credentials.h"
#include "registry_credentials_fixture.h"

static char *read_file(const char *name)
{
    scope_free char *path = memory_format("%s/%s", fixture_directory, name);
    return file_read_all(AT_FDCWD, path, 1 << 20, NULL, NULL);
}

static json_t *read_config(void)
{
    scope_free char *text = read_file("config.json");
    assert_non_null(text);
    json_t *config = json_loads(text, 0, NULL);
    assert_non_null(config);
    return config;
}

static void expect_found(const char *host, const char *user, const char *secret)
{
    scope_registry_credentials struct registry_credentials found;
    struct error err = {0};
    if (registry_credentials_find(host, &found, &err) < 0)
        fail_msg("%s: %s", host, err.text);
    if (!user) {
        assert_null(found.user);
        assert_null(found.secret);
        assert_null(found.identity_token);
        return;
    }
    assert_non_null(found.user);
    assert_string_equal(found.user, user);
    assert_string_equal(found.secret, secret);
}

static void expect_error(const char *config, const char *expected)
{
    scope_registry_credentials struct registry_credentials found;
    struct error err = {0};
    fixture_write("config.json", config, 0600);
    assert_int_equal(registry_credentials_find("a.example", &found, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("%s: %s", config, err.text);
}

/* Stores; true if it stands in the file as it is. */
static bool store(const char *host, const char *user, const char *secret, const char *token)
{
    struct registry_credentials credentials = {
        .user = (char *)user, .secret = (char *)secret, .identity_token = (char *)token};
    struct error err = {0};
    scope_free char *plain = NULL;
    if (registry_credentials_store(host, &credentials, &plain, &err) < 0)
        fail_msg("%s: %s", host, err.text);
    return plain != NULL;
}

static int forget_all(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "keychain", "verbs", "target.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        scope_free char *path = memory_format("%s/%s", fixture_directory, names[i]);
        unlink(path);
    }
    return 0;
}

static void no_file_means_no_credentials(void **state)
{
    (void)state;
    struct error err = {0};
    expect_found("a.example", NULL, NULL);
    assert_int_equal(registry_credentials_erase("a.example", &err), 0);
    assert_null(read_file("config.json"));
}

static void what_docker_wrote_is_read(void **state)
{
    (void)state;
    /* user:pass:word, me:s3cret, old:x */
    fixture_write("config.json",
                  "{\"auths\": {\"a.example:5000\": {\"auth\": \"dXNlcjpwYXNzOndvcmQ=\"},"
                  " \"https://index.docker.io/v1/\": {\"auth\": \"bWU6czNjcmV0\"},"
                  " \"https://old.example/v1/\": {\"auth\": \"b2xkOng=\"},"
                  " \"p.example/team\": {\"auth\": \"b2xkOng=\"},"
                  " \"plain.example\": {\"username\": \"u\", \"password\": \"p\"},"
                  " \"empty.example\": {}}}",
                  0600);
    expect_found("a.example:5000", "user", "pass:word");
    expect_found("a.example", NULL, NULL);
    expect_found("docker.io", "me", "s3cret");
    expect_found("index.docker.io", "me", "s3cret");
    expect_found("old.example", "old", "x");
    expect_found("p.example", NULL, NULL);
    expect_found("plain.example", "u", "p");
    expect_found("empty.example", NULL, NULL);
}

static void tokens_are_read_and_kept(void **state)
{
    (void)state;
    scope_registry_credentials struct registry_credentials found;
    struct error err = {0};
    fixture_write("config.json", "{\"auths\": {\"r.example\": {\"registrytoken\": \"bearer\"}}}",
                  0600);
    assert_true(store("a.example", "me", NULL, "refresh"));
    assert_int_equal(registry_credentials_find("a.example", &found, &err), 0);
    assert_string_equal(found.user, "me");
    assert_string_equal(found.identity_token, "refresh");
    registry_credentials_release(&found);
    assert_int_equal(registry_credentials_find("r.example", &found, &err), 0);
    assert_string_equal(found.registry_token, "bearer");
}

static void what_is_stored_is_found_until_it_is_erased(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(store("docker.io", "me", "a:b \"\\ \xc3\xa4", NULL));
    assert_true(store("[::1]:5000", "", "", NULL));
    expect_found("docker.io", "me", "a:b \"\\ \xc3\xa4");
    expect_found("[::1]:5000", "", "");
    assert_true(store("docker.io", "other", "new", NULL));
    expect_found("docker.io", "other", "new");
    json_auto_t *config = read_config();
    json_t *auths = json_object_get(config, "auths");
    assert_int_equal(json_object_size(auths), 2);
    assert_non_null(json_object_get(auths, "https://index.docker.io/v1/"));
    assert_int_equal(registry_credentials_erase("docker.io", &err), 1);
    assert_int_equal(registry_credentials_erase("docker.io", &err), 0);
    expect_found("docker.io", NULL, NULL);
    expect_found("[::1]:5000", "", "");
}

static void unknown_fields_stay_and_the_mode_is_0600(void **state)
{
    (void)state;
    fixture_write("config.json",
                  "{\"HttpHeaders\": {\"X\": \"y\"}, \"proxies\": {\"default\": [1, 2.5, null]},"
                  " \"auths\": {\"b.example\": {\"auth\": \"b2xkOng=\", \"email\": \"e\"}},"
                  " \"detachKeys\": \"ctrl-e\"}",
                  0644);
    json_auto_t *before = read_config();
    assert_true(store("a.example", "me", "secret", NULL));
    json_auto_t *after = read_config();
    json_object_del(json_object_get(after, "auths"), "a.example");
    assert_true(json_equal(before, after));
    scope_free char *path = memory_format("%s/config.json", fixture_directory);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_symbolic_link_is_written_through(void **state)
{
    (void)state;
    scope_free char *path = memory_format("%s/config.json", fixture_directory);
    fixture_write("target.json", "{}", 0600);
    assert_int_equal(symlink("target.json", path), 0);
    assert_true(store("a.example", "me", "secret", NULL));
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    expect_found("a.example", "me", "secret");
}

static void the_directory_is_made_private(void **state)
{
    (void)state;
    scope_free char *directory = memory_format("%s/new/deep", fixture_directory);
    setenv("DOCKER_CONFIG", directory, 1);
    bool plain = store("a.example", "me", "secret", NULL);
    setenv("DOCKER_CONFIG", fixture_directory, 1);
    assert_true(plain);
    struct stat status;
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void home_is_where_docker_keeps_it(void **state)
{
    (void)state;
    scope_free char *home = memory_copy_string(getenv("HOME") ? getenv("HOME") : "/");
    setenv("HOME", fixture_directory, 1);
    unsetenv("DOCKER_CONFIG");
    bool plain = store("a.example", "me", "secret", NULL);
    setenv("DOCKER_CONFIG", fixture_directory, 1);
    setenv("HOME", home, 1);
    assert_true(plain);
    scope_free char *text = read_file(".docker/config.json");
    assert_non_null(text);
}

static void files_that_are_wrong_are_not_replaced(void **state)
{
    (void)state;
    expect_error("{", "line 1");
    expect_error("[]", "not an object");
    expect_error("{\"auths\": {\"a.example\": {\"auth\": \"bm9jb2xvbg==\"}}}", "'a.example'");
    expect_error("{\"auths\": {\"a.example\": {\"auth\": \"!!!!\"}}}", "'a.example'");
    expect_error("{\"auths\": {\"a.example\": {\"auth\": \"abc\"}}}", "'a.example'");
    fixture_write("config.json", "{\"auths\": 5", 0600);
    struct registry_credentials credentials = {.user = (char *)"me", .secret = (char *)"x"};
    struct error err = {0};
    char *plain;
    assert_int_equal(registry_credentials_store("a.example", &credentials, &plain, &err), -1);
    assert_int_equal(registry_credentials_erase("a.example", &err), -1);
    fixture_write("config.json", "{\"auths\": 5}", 0600);
    assert_int_equal(registry_credentials_store("a.example", &credentials, &plain, &err), -1);
    scope_free char *text = read_file("config.json");
    assert_string_equal(text, "{\"auths\": 5}");
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    char *plain;
    struct registry_credentials colon = {.user = (char *)"a:b", .secret = (char *)"x"};
    assert_int_equal(registry_credentials_store("a.example", &colon, &plain, &err), -1);
    assert_non_null(strstr(err.text, "colon"));
    struct registry_credentials none = {.user = (char *)"a"};
    assert_int_equal(registry_credentials_store("a.example", &none, &plain, &err), -1);
    assert_null(read_file("config.json"));
}

/* With whichever key names the helper. */
static void expect_helper_used(const char *config)
{
    struct error err = {0};
    fixture_write("config.json", config, 0600);
    expect_found("a.example", NULL, NULL);
    assert_false(store("a.example", "me", "in the \"keychain\"", NULL));
    expect_found("a.example", "me", "in the \"keychain\"");
    scope_free char *text = read_file("config.json");
    assert_null(strstr(text, "keychain"));
    json_auto_t *after = read_config();
    const json_t *entry = json_object_get(json_object_get(after, "auths"), "a.example");
    assert_true(json_is_object(entry));
    assert_int_equal(json_object_size(entry), 0);
    assert_int_equal(registry_credentials_erase("a.example", &err), 1);
    assert_null(read_file("keychain"));
    assert_int_equal(registry_credentials_erase("a.example", &err), 0);
    scope_free char *verbs = read_file("verbs");
    assert_string_equal(verbs, "get\nstore\nget\nget\nerase\nget\n");
    forget_all(NULL);
}

static void helpers_keep_what_they_are_configured_for(void **state)
{
    (void)state;
    expect_helper_used("{\"credsStore\": \"fake\"}");
    expect_helper_used("{\"credHelpers\": {\"a.example\": \"fake\"}, \"credsStore\": \"absent\"}");
    fixture_write("config.json", "{\"credHelpers\": {\"b.example\": \"fake\"}}", 0600);
    assert_true(store("a.example", "me", "x", NULL));
    expect_found("a.example", "me", "x");
    assert_null(read_file("verbs"));
}

static void a_helper_keeps_an_identity_token(void **state)
{
    (void)state;
    fixture_write("config.json", "{\"credsStore\": \"fake\"}", 0600);
    assert_false(store("docker.io", "me", NULL, "refresh"));
    scope_free char *keychain = read_file("keychain");
    json_auto_t *kept = json_loads(keychain, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(kept, "Username")), "<token>");
    assert_string_equal(json_string_value(json_object_get(kept, "ServerURL")),
                        "https://index.docker.io/v1/");
    scope_registry_credentials struct registry_credentials found;
    struct error err = {0};
    assert_int_equal(registry_credentials_find("docker.io", &found, &err), 0);
    assert_null(found.user);
    assert_string_equal(found.identity_token, "refresh");
}

static void a_helper_that_fails_is_an_error(void **state)
{
    (void)state;
    expect_error("{\"credsStore\": \"absent\"}", "docker-credential-absent");
    fixture_write("keychain", "no JSON", 0600);
    expect_error("{\"credsStore\": \"fake\"}", "neither");
    fixture_write("keychain", "{\"Username\": \"me\"}", 0600);
    expect_error("{\"credsStore\": \"fake\"}", "neither");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, forget_all)
    const struct CMUnitTest tests[] = {
        TEST(no_file_means_no_credentials),
        TEST(what_docker_wrote_is_read),
        TEST(tokens_are_read_and_kept),
        TEST(what_is_stored_is_found_until_it_is_erased),
        TEST(unknown_fields_stay_and_the_mode_is_0600),
        TEST(a_symbolic_link_is_written_through),
        TEST(the_directory_is_made_private),
        TEST(home_is_where_docker_keeps_it),
        TEST(files_that_are_wrong_are_not_replaced),
        TEST(what_cannot_be_kept_is_refused),
        TEST(helpers_keep_what_they_are_configured_for),
        TEST(a_helper_keeps_an_identity_token),
        TEST(a_helper_that_fails_is_an_error),
    };
    return cmocka_run_group_tests(tests, fixture_make, fixture_remove);
}
