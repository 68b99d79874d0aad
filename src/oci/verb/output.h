/* What verbs print on standard output. */
#ifndef HULL_OCI_VERB_OUTPUT_H
#define HULL_OCI_VERB_OUTPUT_H

#include <jansson.h>

#include "base/error.h"

/* Prints a document (whose reference it takes) and a newline, with jansson's flags. */
int output_json(json_t *document, size_t flags, struct error *err);

/* Is what was printed on standard output really out? A full disk shows only here. */
int output_finish(struct error *err);

#endif
