#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "cli/prompt.h"
#include "cli/verb.h"
#include "image/registry.h"

#define SECRET_LIMIT 65536

static const struct command_flag flags[] = {
    {.name = "password", .letter = 'p', .argument = "PASSWORD", .help = "the password or token"},
    {.name = "password-stdin", .help = "read the password from standard input"},
    {.name = "username", .letter = 'u', .argument = "USER", .help = "the user"},
    {0},
};

static int check_flags(const struct command_line *line, struct error *err)
{
    const char *user = command_value(line, "username");
    if (command_given(line, "password-stdin") && command_given(line, "password"))
        return error_set(err, 0, "--password and --password-stdin exclude each other");
    if (command_given(line, "password-stdin") && !(user && *user))
        return error_set(err, 0, "--password-stdin needs --username");
    return 0;
}

/* Standard input without the newline that ends it. */
static char *read_secret(struct error *err)
{
    size_t length;
    char *secret = file_read_all_fd(STDIN_FILENO, "standard input", SECRET_LIMIT, &length, err);
    if (secret && length > 0 && secret[length - 1] == '\n')
        secret[--length] = '\0';
    if (secret && length > 0 && secret[length - 1] == '\r')
        secret[--length] = '\0';
    return secret;
}

static int check_terminal(struct error *err)
{
    if (isatty(STDIN_FILENO))
        return 0;
    return error_set(err, 0,
                     "there is no terminal to ask for the user and password on (use "
                     "--username and --password-stdin)");
}

/* From the flags, or the terminal; known is a user to propose, or NULL. */
static int ask_credentials(const struct command_line *line, const char *known,
                           struct registry_credentials *credentials, struct error *err)
{
    const char *user = command_value(line, "username");
    const char *password = command_value(line, "password");
    if (user && *user) {
        credentials->user = memory_copy_string(user);
    } else {
        scope_free char *question =
            known ? memory_format("Username (%s): ", known) : memory_copy_string("Username: ");
        credentials->user = check_terminal(err) == 0 ? prompt_line(question, false, err) : NULL;
        if (credentials->user && !*credentials->user && known) {
            free(credentials->user);
            credentials->user = memory_copy_string(known);
        }
    }
    if (!credentials->user)
        return -1;
    if (command_given(line, "password-stdin"))
        credentials->secret = read_secret(err);
    else if (password)
        credentials->secret = memory_copy_string(password);
    else
        credentials->secret =
            check_terminal(err) == 0 ? prompt_line("Password: ", true, err) : NULL;
    if (!credentials->secret)
        return -1;
    if (!*credentials->user || !*credentials->secret)
        return error_set(err, 0, "the user and the password must not be empty");
    return 0;
}

static int log_in(const struct registry_operations *registry, const char *host,
                  struct registry_credentials *credentials, struct error *err)
{
    scope_free char *plain_path = NULL;
    if (registry->login(host, credentials, &plain_path, err) < 0)
        return -1;
    if (plain_path)
        fprintf(stderr,
                "WARNING! Your password is stored unencrypted in '%s'.\n"
                "Configure a credential helper (credsStore) to avoid that.\n",
                plain_path);
    printf("Login Succeeded\n");
    return 0;
}

/* Without user and password, what is kept is tried first. 1: done, 0: ask, -1: error. */
static int try_kept(const struct registry_operations *registry, const char *host,
                    struct registry_credentials *kept, struct error *err)
{
    struct error refused = {0};
    if (registry->find_credentials(host, kept, err) < 0)
        return -1;
    if (!kept->identity_token && !(kept->user && kept->secret))
        return 0;
    printf("Authenticating with existing credentials...\n");
    fflush(stdout); /* before what goes to standard error */
    if (log_in(registry, host, kept, &refused) == 0)
        return 1;
    if (refused.code != EACCES)
        return error_set(err, 0, "%s", refused.text);
    fprintf(stderr, "%s\n", refused.text);
    return 0;
}

static int run_login(struct cli_context *context, struct error *err)
{
    const struct command_line *line = context->line;
    const struct registry_operations *registry = NULL;
    struct registry_credentials kept = {0}, credentials = {0};
    scope_free char *host =
        registry_parse_host(line->argument_count ? line->arguments[0] : "docker.io", err);
    context->exit_status = 1;
    if (!host || check_flags(line, err) < 0 || !(registry = registry_module_load(err)))
        return -1;
    if (command_given(line, "password"))
        fprintf(stderr, "WARNING! Using --password via the CLI is insecure. Use "
                        "--password-stdin.\n");
    bool asks = !command_given(line, "username") && !command_given(line, "password");
    int status = asks ? try_kept(registry, host, &kept, err) : 0;
    if (status == 0) {
        status = ask_credentials(line, kept.user, &credentials, err);
        if (status == 0)
            status = log_in(registry, host, &credentials, err);
    }
    registry->release_credentials(&kept);
    registry->release_credentials(&credentials);
    if (status < 0)
        return -1;
    context->exit_status = 0;
    return 0;
}

const struct cli_verb cli_login = {
    .command = {.name = "login",
                .arguments = "[SERVER]",
                .summary = "log in to a registry",
                .description = "Tries a user and password at SERVER (docker.io by default) and "
                               "keeps them where docker does: in config.json in $DOCKER_CONFIG or "
                               "~/.docker, or with the credential helper that is named there.",
                .flags = flags,
                .max_arguments = 1},
    .run = run_login,
    .runs_as_user = true,
};
