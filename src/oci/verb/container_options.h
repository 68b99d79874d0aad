/* The options that create and run share. */
#ifndef HULL_OCI_VERB_CONTAINER_OPTIONS_H
#define HULL_OCI_VERB_CONTAINER_OPTIONS_H

#include "container/container.h"
#include "oci/verb/verb.h"

int container_options_read(struct container_options *options, struct verb_context *context,
                           struct error *err);

#endif
