/* What `inspect` of every kind of object does. */
#ifndef HULL_CLI_INSPECT_EACH_H
#define HULL_CLI_INSPECT_EACH_H

#include <jansson.h>

#include "cli/verb.h"

/* What there is of an object: a new document, or NULL. */
typedef json_t *inspect_find(void *argument, const char *name, struct error *err);

/* Shows what the arguments name, as an array or each by --format. Those that there are are shown;
 * of each other the error is told, and the program ends with 1. */
int inspect_each(struct cli_context *context, inspect_find *find, void *argument,
                 struct error *err);

#define INSPECT_FORMAT_FLAG                                                                        \
    {                                                                                              \
        .name = "format", .letter = 'f', .argument = "TEMPLATE",                                   \
        .help = "print json or a Go template"                                                      \
    }

#endif
