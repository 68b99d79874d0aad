/* The parts of `hull ps`. A container is here what engine_inspect() says of it. */
#ifndef HULL_CLI_PS_H
#define HULL_CLI_PS_H

#include "engine/engine.h"

/* "0.0.0.0:8080->80/tcp, 443/tcp": consecutive ports as a range, as docker groups them. ports is
 * NetworkSettings.Ports. The caller frees. */
char *ps_format_ports(const json_t *ports);

/* "Up 3 minutes (healthy)", "Exited (0) 2 hours ago". The caller frees. */
char *ps_format_status(const json_t *state, int64_t now);

/* What table_print() prints. */
json_t *ps_make_row(const json_t *document, bool whole, bool with_size);

/* `--filter KEY=VALUE`: of several with one key one must hold, of each key. */
struct ps_filter {
    struct engine *engine;
    const char **filters;
    size_t count;
    /* "before" and "since": the times of the containers that they name. */
    int64_t before, since;
    char (*ancestors)[IMAGE_DIGEST_SIZE]; /* ids of the images that "ancestor" filters name … */
    size_t ancestor_count;
};
/* Checks filters, and looks up what they name. Release it in any case. */
int ps_filter_prepare(struct ps_filter *filter, struct error *err);
void ps_filter_release(struct ps_filter *filter);
bool ps_filter_passes(const struct ps_filter *filter, const struct engine_container *container,
                      const json_t *document);
/* Whether a filter asks for containers that don't run, too. */
bool ps_filter_wants_all(const struct ps_filter *filter);

#endif
