#include "container/mount_options.h"
#include "oci/verb/features_document.h"
#include "oci/verb/output.h"
#include "oci/verb/verb.h"

int verb_features(struct verb_context *context, struct error *err)
{
    (void)context;
    return output_json(features_document(mount_option_names()), JSON_INDENT(2), err);
}
