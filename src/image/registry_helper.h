/* Credential helpers: docker's programs docker-credential-NAME, found in $PATH, that keep secrets
 * in a keychain. Each is run with a verb (get, store, erase), is told on standard input and answers
 * on standard output; its standard error is ours, and its terminal, so that it can ask. */
#ifndef HULL_IMAGE_REGISTRY_HELPER_H
#define HULL_IMAGE_REGISTRY_HELPER_H

#include "base/error.h"

#define REGISTRY_HELPER_SECONDS 120 /* long enough for somebody to type a passphrase */

/* Runs docker-credential-NAME VERB with input. Returns its output (ended with a NUL, at most 64
 * KiB; the caller frees, with registry_secret_free()), or NULL if it can't be run, didn't end
 * within that many seconds, or failed. err->code is ENODATA if it says that it has no such
 * credentials, which is no more than an answer. */
char *registry_helper_run(const char *name, const char *verb, const char *input, int seconds,
                          struct error *err);

/* Overwrites a string before it frees it; NULL is fine. */
void registry_secret_free(char *secret);
static inline void scope_secret_free(char **secret)
{
    registry_secret_free(*secret);
}
#define scope_secret __attribute__((cleanup(scope_secret_free)))

#endif
