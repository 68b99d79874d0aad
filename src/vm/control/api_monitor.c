/* Around the machine: /logger, /metrics, /mmds, /mmds/config. */
#include "vm/control/api.h"
#include "vm/control/log.h"
#include "vm/control/metadata.h"

static int put_logger(struct api_call *call)
{
    struct vm_settings *settings = &call->control->settings;
    struct logger_settings logger;
    int status = api_read_body(call, &settings_logger, false, &logger);
    if (status == 0)
        status = log_configure(&logger, call->err);
    if (status < 0) {
        settings_release(&settings_logger, &logger);
        return -1;
    }
    settings_release(&settings_logger, &settings->logger);
    settings->logger = logger;
    settings->logger.given = true;
    return 0;
}

static int put_metrics(struct api_call *call)
{
    struct vm_settings *settings = &call->control->settings;
    struct metrics_settings metrics;
    int status = api_read_body(call, &settings_metrics, false, &metrics);
    if (status == 0)
        status = metrics_open(call->control->metrics, metrics.path, call->err);
    if (status < 0) {
        settings_release(&settings_metrics, &metrics);
        return -1;
    }
    settings_release(&settings_metrics, &settings->metrics);
    settings->metrics = metrics;
    settings->metrics.given = true;
    return 0;
}

/* ---- the metadata service ---- */

static int put_metadata_configuration(struct api_call *call)
{
    struct metadata_settings metadata;
    int status = api_read_body(call, &settings_metadata, false, &metadata);
    if (status == 0 && metadata.version == METADATA_V1)
        api_deprecate(call, "PUT /mmds/config: V1 is deprecated. Use V2 instead.");
    if (status == 0)
        status = vm_settings_put_metadata(&call->control->settings, &metadata, call->err);
    settings_release(&settings_metadata, &metadata);
    return status;
}

static int get_metadata(struct api_call *call)
{
    const json_t *content = metadata_get(call->control->metadata);
    call->result = content ? json_incref((json_t *)(uintptr_t)content) : json_object();
    return 0;
}

static int finish_metadata(struct api_call *call, enum metadata_result result)
{
    if (result == METADATA_DONE)
        return 0;
    call->status = result == METADATA_TOO_LARGE ? 413 : 400;
    return error_set(call->err, 0, "%s", metadata_result_text(result));
}

/* The definition says an object; Firecracker takes any JSON, but the guest can only ask by names.
 */
static int need_object(struct api_call *call)
{
    return json_is_object(call->body)
               ? 0
               : error_set(call->err, 0, "The metadata has to be a JSON object.");
}

static int put_metadata(struct api_call *call)
{
    return need_object(call) < 0
               ? -1
               : finish_metadata(call, metadata_put(call->control->metadata, call->body));
}

static int patch_metadata(struct api_call *call)
{
    return need_object(call) < 0
               ? -1
               : finish_metadata(call, metadata_patch(call->control->metadata, call->body));
}

#define COUNTERS(group, name) API_COUNTER(group, name##_count), API_COUNTER(group, name##_fails)

const struct api_resource api_monitor_resources[] = {
    {"/logger",
     false,
     {{"PUT", API_BEFORE_START, API_BODY, put_logger, COUNTERS(put_api_requests, logger)}}},
    {"/metrics",
     false,
     {{"PUT", API_BEFORE_START, API_BODY, put_metrics, COUNTERS(put_api_requests, metrics)}}},
    {"/mmds",
     true,
     {{"GET", API_ANY_TIME, API_NO_BODY, get_metadata, API_COUNTER(get_api_requests, mmds_count),
       0},
      {"PUT", API_ANY_TIME, API_BODY, put_metadata, COUNTERS(put_api_requests, mmds)},
      {"PATCH", API_ANY_TIME, API_BODY, patch_metadata, COUNTERS(patch_api_requests, mmds)}}},
    {"/mmds/config",
     false,
     {{"PUT", API_BEFORE_START, API_BODY, put_metadata_configuration,
       COUNTERS(put_api_requests, mmds)}}},
    {0},
};
