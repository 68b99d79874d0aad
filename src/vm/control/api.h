/* Inside the API: what the files with the resources' handlers share. */
#ifndef HULL_VM_CONTROL_API_H
#define HULL_VM_CONTROL_API_H

#include <jansson.h>

#include "vm/control/control.h"
#include "vm/control/settings_field.h"

struct control {
    struct loop *loop;
    struct loop_timer flush; /* of metrics */
    char *id;
    bool pci;
    enum vm_state state;
    struct vm_settings settings;
    struct metadata *metadata;
    struct metrics *metrics;
    const struct control_operations *operations;
    void *context;
};

/* A request on its way through a handler. */
struct api_call {
    struct control *control;
    const char *id; /* the last component of a path such as /drives/{id}, or NULL */
    json_t *body;   /* NULL where there is none */
    size_t body_end_line, body_end_column; /* where it ended, for "missing field" */
    json_t *result;                        /* of a GET: the handler's gift; NULL: 204 */
    unsigned status;                       /* of the fault, if it isn't 400 */
    bool deprecated;
    struct error *err;
};

enum api_when { API_ANY_TIME, API_BEFORE_START, API_AFTER_START };
enum api_body { API_NO_BODY, API_BODY, API_OPTIONAL_BODY };

struct api_method {
    const char *name; /* "GET" */
    enum api_when when;
    enum api_body body;
    int (*handle)(struct api_call *call);
    /* Counted with each request, and with each that fails: offsets in struct metrics_single. */
    size_t count, fails;
};

struct api_resource {
    const char *path;             /* "/drives/{id}" */
    bool has_private_body;        /* it isn't logged */
    struct api_method methods[5]; /* ends with one without a name */
};

/* The lists of resources, each ending with one without a path. */
extern const struct api_resource api_machine_resources[], api_device_resources[],
    api_memory_resources[], api_monitor_resources[];

/* Reads the body into *out, after its defaults; -1 with Firecracker's text. The caller releases
 * *out whatever is returned. */
int api_read_body(struct api_call *call, const struct settings_object *object, bool partial,
                  void *out);
/* -1 unless the id in the body is the path's, and may be one. */
int api_check_id(struct api_call *call, const char *id);

int api_fail_before_start(struct api_call *call);
int api_fail_after_start(struct api_call *call);

/* Marks the request as one that uses what is deprecated; logs the text. */
void api_deprecate(struct api_call *call, const char *text);

#define API_COUNTER(group, name)                                                                   \
    (offsetof(struct metrics_single, group) + offsetof(struct metrics_##group, name))

#endif
