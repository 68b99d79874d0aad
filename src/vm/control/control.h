/* The control of a virtual machine: its settings, its state, and the API that changes them.
 *
 *     control_create(…)                   settings are empty, nothing runs
 *     vm_settings_read_file(control_settings(control), …)   --config-file, perhaps
 *     control_start(control, …)           if there was one; otherwise the API's InstanceStart
 *     api_server_start(…)                 (vm/control/http.h) unless --no-api
 *
 * The monitor provides struct control_operations: what acts on a machine that runs. All of it is
 * called on the loop's thread; so are all functions here. */
#ifndef HULL_VM_CONTROL_CONTROL_H
#define HULL_VM_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "vm/control/metadata.h"
#include "vm/control/metrics.h"
#include "vm/control/settings.h"
#include "vm/device/virtio_balloon.h"

/* The release of Firecracker whose API this is. */
#define CONTROL_API_VERSION "1.16.1"

enum vm_state { VM_NOT_STARTED, VM_RUNNING, VM_PAUSED };

struct balloon_statistics {
    uint64_t target_pages, actual_pages;    /* of 4 KiB */
    struct virtio_balloon_statistics guest; /* what the guest reports */
};

struct balloon_hinting {
    uint32_t host_command;
    bool has_guest_command;
    uint32_t guest_command;
};

struct memory_hotplug_status {
    uint64_t plugged_size_mib, requested_size_mib;
};

/* Each returns 0, or -1 with the text that the API answers with status 400. The context is the one
 * given to control_create(). Settings passed stay what they are only for the call. After a success
 * the control changes its own settings to match.
 *
 * attach_… and detach_… may be NULL in a monitor without hot-plug; all others are there. */
struct control_operations {
    /* Builds the machine from the settings and starts its vcpus. After a failure nothing of it is
     * left, and it may be called again. */
    int (*start)(void *context, const struct vm_settings *settings, struct error *err);
    int (*pause)(void *context, struct error *err);  /* only called while it runs */
    int (*resume)(void *context, struct error *err); /* only called while it is paused */
    int (*send_ctrl_alt_del)(void *context, struct error *err);

    /* path is NULL for the file that it has; of the limiter only buckets that are given change. */
    int (*update_drive)(void *context, const char *id, const char *path,
                        const struct limiter_settings *limiter, struct error *err);
    int (*update_interface)(void *context, const char *id, const struct limiter_settings *rx,
                            const struct limiter_settings *tx, struct error *err);
    int (*update_pmem)(void *context, const char *id, const struct limiter_settings *limiter,
                       struct error *err);

    int (*attach_drive)(void *context, const struct drive_settings *drive, struct error *err);
    int (*attach_interface)(void *context, const struct interface_settings *interface,
                            struct error *err);
    int (*attach_pmem)(void *context, const struct pmem_settings *pmem, struct error *err);
    int (*detach_drive)(void *context, const char *id, struct error *err);
    int (*detach_interface)(void *context, const char *id, struct error *err);
    int (*detach_pmem)(void *context, const char *id, struct error *err);

    /* Only called where the settings have a balloon. */
    int (*set_balloon_amount)(void *context, uint32_t amount_mib, struct error *err);
    int (*set_balloon_interval)(void *context, uint32_t seconds, struct error *err);
    int (*get_balloon_statistics)(void *context, struct balloon_statistics *out, struct error *err);
    int (*start_balloon_hinting)(void *context, bool acknowledge_on_stop, struct error *err);
    int (*get_balloon_hinting)(void *context, struct balloon_hinting *out, struct error *err);
    int (*stop_balloon_hinting)(void *context, struct error *err);

    /* Only called where the settings have such memory. */
    int (*set_hotplug_size)(void *context, uint32_t requested_size_mib, struct error *err);
    int (*get_hotplug_status)(void *context, struct memory_hotplug_status *out, struct error *err);
};

struct control_options {
    const char *id;          /* of the VM; copied */
    bool pci;                /* devices are on a PCI bus: hot-plug may be asked for */
    size_t metadata_limit;   /* bytes of the metadata service's document */
    struct metrics *metrics; /* not the control's */
};

struct control;

/* The loop is the thread's on which all of this runs; metrics are flushed by it each minute from
 * control_start() on. */
struct control *control_create(struct loop *loop, const struct control_options *options,
                               const struct control_operations *operations, void *context);
void control_destroy(struct control *control);

/* From now on another loop, which the same thread turns, is the control's: the machine's, say,
 * which didn't exist before the start. */
void control_move(struct control *control, struct loop *loop);

struct vm_settings *control_settings(struct control *control);
struct metadata *control_metadata(struct control *control);
enum vm_state control_state(const struct control *control);

/* Opens the log and the metrics that the settings name (a --config-file's); once, before start. */
int control_open_outputs(struct control *control, struct error *err);

/* Starts the machine that the settings describe. */
int control_start(struct control *control, struct error *err);

/* One request. The body has body_length bytes; status is HTTP's. The caller frees *text, which is
 * NULL for an empty answer. */
struct control_request {
    const char *method; /* "PUT" */
    const char *path;   /* "/drives/rootfs" */
    const char *body;
    size_t body_length;
};
struct control_reply {
    unsigned status;
    bool deprecated; /* the request used something that is: says so in a header */
    char *text;
};
void control_answer(struct control *control, const struct control_request *request,
                    struct control_reply *reply);

/* A reply that is {"fault_message": text}. */
void control_reply_fault(struct control_reply *reply, unsigned status, const char *text);

#endif
