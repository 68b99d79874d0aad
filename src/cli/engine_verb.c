#include "cli/engine_verb.h"

#include <stdio.h>
#include <string.h>

int engine_verb_run(struct cli_context *context,
                    int (*act)(struct cli_context *context, struct engine *engine,
                               struct error *err),
                    struct error *err)
{
    scope_engine struct engine *engine = NULL;
    if (container_verb_open(context, &engine, err) < 0 || act(context, engine, err) < 0) {
        if (context->exit_status == 0)
            context->exit_status = 1;
        return -1;
    }
    return 0;
}

void engine_verb_report(struct cli_context *context, const struct error *err)
{
    fflush(stdout);
    fprintf(stderr, "hull: %s: %s\n", context->line->verb->name, err->text);
    context->exit_status = 1;
}

struct engine_verb_id engine_verb_show_id(const char *id, bool whole)
{
    struct engine_verb_id shown;
    snprintf(shown.text, sizeof shown.text, "%.*s", whole ? ENGINE_ID_SIZE - 1 : 12, id);
    return shown;
}
