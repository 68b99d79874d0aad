#include "container/state.h"

#include <jansson.h>
#include <stdio.h>

#include "container/record.h"
#include "oci/verb/output.h"
#include "oci/verb/verb.h"

int verb_state(struct verb_context *context, struct error *err)
{
    scope_record struct record record = RECORD_CLOSED;
    if (record_open(&record, context->root, verb_id(context), err) < 0)
        return -1;
    return output_json(state_describe(&record), JSON_INDENT(2), err);
}
