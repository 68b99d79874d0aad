/* A directory of its own for $DOCKER_CONFIG, with docker-credential-fake in $PATH: a keychain in a
 * file beside it. */
#ifndef HULL_TESTS_UNIT_REGISTRY_CREDENTIALS_FIXTURE_H
#define HULL_TESTS_UNIT_REGISTRY_CREDENTIALS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/scope.h"

static const char fixture_helper[] =
    "#!/bin/sh\n"
    "keychain=$DOCKER_CONFIG/keychain\n"
    "input=$(cat)\n"
    "echo \"$1\" >>\"$DOCKER_CONFIG/verbs\"\n"
    "case $1 in\n"
    "store) printf %s \"$input\" >\"$keychain\" ;;\n"
    "get) [ -f \"$keychain\" ] && cat \"$keychain\" || {\n"
    "    echo 'credentials not found in native keychain'; exit 1; } ;;\n"
    "erase) rm \"$keychain\" ;;\n"
    "esac\n";

static char fixture_directory[4096];

static void fixture_write(const char *name, const char *text, mode_t mode)
{
    scope_free char *path = memory_format("%s/%s", fixture_directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* For a group: the helper, and $PATH. */
static int fixture_make(void **state)
{
    (void)state;
    scope_free char *here = getcwd(NULL, 0);
    snprintf(fixture_directory, sizeof fixture_directory, "%s/credentials-XXXXXX", here);
    if (!mkdtemp(fixture_directory))
        return -1;
    scope_free char *path = memory_format("%s:%s", fixture_directory, getenv("PATH"));
    setenv("PATH", path, 1);
    setenv("DOCKER_CONFIG", fixture_directory, 1);
    fixture_write("docker-credential-fake", fixture_helper, 0755);
    return 0;
}

static int fixture_remove(void **state)
{
    (void)state;
    scope_free char *command = memory_format("rm -r '%s'", fixture_directory);
    return system(command);
}

#endif
