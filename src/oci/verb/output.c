#include "oci/verb/output.h"

#include <errno.h>
#include <stdio.h>

int output_finish(struct error *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return error_set(err, errno, "can't write to standard output");
}

int output_json(json_t *document, size_t flags, struct error *err)
{
    int result = json_dumpf(document, stdout, flags | JSON_ENCODE_ANY);
    json_decref(document);
    if (result < 0)
        return error_set(err, errno, "can't write to standard output");
    putchar('\n');
    return output_finish(err);
}
