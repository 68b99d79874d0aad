/* Questions to whoever sits at the terminal. */
#ifndef HULL_CLI_PROMPT_H
#define HULL_CLI_PROMPT_H

#include <stdbool.h>

#include "base/error.h"

/* Shows the question on standard output and reads a line from standard input, which is a terminal;
 * without echo if it is for a secret. Interrupting (^C) is an error, as is the input's end. The
 * caller frees. */
char *prompt_line(const char *question, bool secret, struct error *err);

/* Says "WARNING! " and the warning, asks whether to go on, and tells whether the answer was yes. No
 * answer (the input's end) is no. */
bool prompt_confirm(const char *warning);

#endif
