/* The object around settings and state, and the start of the machine. */
#include "vm/control/control.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "vm/control/api.h"
#include "vm/control/log.h"

#define FLUSH_INTERVAL_MS 60000

static void flush_metrics(struct loop_timer *timer)
{
    struct control *control = loop_owner(timer, struct control, flush);
    struct error err;
    if (metrics_flush(control->metrics, &err) < 0)
        log_error("%s", err.text);
    loop_timer_set(control->loop, timer, FLUSH_INTERVAL_MS);
}

struct control *control_create(struct loop *loop, const struct control_options *options,
                               const struct control_operations *operations, void *context)
{
    struct control *control = memory_allocate(1, sizeof *control);
    control->loop = loop;
    control->flush.expired = flush_metrics;
    control->id = memory_copy_string(options->id);
    control->pci = options->pci;
    control->metrics = options->metrics;
    control->operations = operations;
    control->context = context;
    control->metadata =
        metadata_create(options->metadata_limit, &metrics_of(options->metrics)->mmds);
    vm_settings_initialize(&control->settings);
    return control;
}

void control_destroy(struct control *control)
{
    if (!control)
        return;
    loop_timer_cancel(control->loop, &control->flush);
    vm_settings_release(&control->settings);
    metadata_destroy(control->metadata);
    free(control->id);
    free(control);
}

void control_move(struct control *control, struct loop *loop)
{
    bool armed = control->flush.armed;
    int64_t left = control->flush.deadline - loop_now();
    loop_timer_cancel(control->loop, &control->flush);
    control->loop = loop;
    if (armed)
        loop_timer_set(loop, &control->flush, left);
}

struct vm_settings *control_settings(struct control *control)
{
    return &control->settings;
}

struct metadata *control_metadata(struct control *control)
{
    return control->metadata;
}

enum vm_state control_state(const struct control *control)
{
    return control->state;
}

int control_open_outputs(struct control *control, struct error *err)
{
    const struct vm_settings *settings = &control->settings;
    if (settings->logger.given && log_configure(&settings->logger, err) < 0)
        return -1;
    return settings->metrics.given ? metrics_open(control->metrics, settings->metrics.path, err)
                                   : 0;
}

int control_start(struct control *control, struct error *err)
{
    if (control->state != VM_NOT_STARTED)
        return error_set(err, 0,
                         "The requested operation is not supported after starting the microVM.");
    if (!control->settings.boot.given)
        return error_set(err, 0, "Cannot start microvm without kernel configuration.");
    if (control->settings.metadata.given)
        metadata_configure(control->metadata, &control->settings.metadata);
    if (control->operations->start(control->context, &control->settings, err) < 0)
        return -1;
    control->state = VM_RUNNING;
    loop_timer_set(control->loop, &control->flush, FLUSH_INTERVAL_MS);
    return 0;
}
