/* Memory that comes and goes: /balloon, /balloon/statistics, /balloon/hinting/…, /hotplug/memory.
 */
#include "vm/control/api.h"
#include "vm/control/settings_check.h"

static int need_balloon(struct api_call *call)
{
    return call->control->settings.balloon.given
               ? 0
               : error_set(call->err, 0, "Balloon config error: No balloon device found.");
}

static int get_balloon(struct api_call *call)
{
    if (need_balloon(call) < 0)
        return -1;
    call->result = settings_print(&settings_balloon, &call->control->settings.balloon);
    return 0;
}

static int put_balloon(struct api_call *call)
{
    struct balloon_settings balloon;
    if (api_read_body(call, &settings_balloon, false, &balloon) < 0)
        return -1;
    return vm_settings_put_balloon(&call->control->settings, &balloon, call->err);
}

/* The body's one member, a whole number. */
static int read_number(struct api_call *call, const char *type, const char *name, uint32_t *number)
{
    struct settings_field fields[2] = {{.name = name, .kind = SETTINGS_U32, .required = true}, {0}};
    struct settings_object object = {type, fields, sizeof *number, NULL};
    return api_read_body(call, &object, false, number);
}

static int patch_balloon(struct api_call *call)
{
    struct control *control = call->control;
    struct balloon_settings changed = control->settings.balloon;
    if (read_number(call, "BalloonUpdateConfig", "amount_mib", &changed.amount_mib) < 0 ||
        need_balloon(call) < 0 ||
        settings_check_balloon(&changed, control->settings.machine.mem_size_mib, call->err) < 0 ||
        control->operations->set_balloon_amount(control->context, changed.amount_mib, call->err) <
            0)
        return -1;
    control->settings.balloon = changed;
    return 0;
}

/* ---- statistics ---- */

static int need_statistics(struct api_call *call)
{
    if (need_balloon(call) < 0)
        return -1;
    return call->control->settings.balloon.statistics_interval_s
               ? 0
               : error_set(call->err, 0, "Balloon config error: Statistics are not enabled.");
}

static int get_statistics(struct api_call *call)
{
    static const char *const names[] = {"swap_in",          "swap_out",    "major_faults",
                                        "minor_faults",     "free_memory", "total_memory",
                                        "available_memory", "disk_caches", "hugetlb_allocations",
                                        "hugetlb_failures", "oom_kill",    "alloc_stall",
                                        "async_scan",       "direct_scan", "async_reclaim",
                                        "direct_reclaim"};
    struct control *control = call->control;
    struct balloon_statistics statistics = {0};
    if (need_statistics(call) < 0 ||
        control->operations->get_balloon_statistics(control->context, &statistics, call->err) < 0)
        return -1;
    call->result =
        json_pack("{s:I,s:I,s:I,s:I}", "target_pages", (json_int_t)statistics.target_pages,
                  "actual_pages", (json_int_t)statistics.actual_pages, "target_mib",
                  (json_int_t)(statistics.target_pages >> 8), "actual_mib",
                  (json_int_t)(statistics.actual_pages >> 8));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        /* The guest may claim anything; JSON's numbers here end at 2^63. */
        if (statistics.guest.present & 1u << i)
            json_object_set_new(call->result, names[i],
                                json_integer((json_int_t)(statistics.guest.value[i] & INT64_MAX)));
    }
    return 0;
}

static int patch_statistics(struct api_call *call)
{
    struct control *control = call->control;
    uint32_t seconds;
    if (read_number(call, "BalloonUpdateStatsConfig", "stats_polling_interval_s", &seconds) < 0 ||
        need_balloon(call) < 0)
        return -1;
    if (!seconds != !control->settings.balloon.statistics_interval_s)
        return error_set(call->err, 0,
                         "Balloon config error: Statistics cannot be enabled/disabled "
                         "after activation.");
    if (control->operations->set_balloon_interval(control->context, seconds, call->err) < 0)
        return -1;
    control->settings.balloon.statistics_interval_s = seconds;
    return 0;
}

/* ---- hinting ---- */

static int need_hinting(struct api_call *call)
{
    if (need_balloon(call) < 0)
        return -1;
    return call->control->settings.balloon.free_page_hinting
               ? 0
               : error_set(call->err, 0, "Balloon config error: Free page hinting is not enabled.");
}

static int start_hinting(struct api_call *call)
{
    struct start {
        bool acknowledge_on_stop;
    } start = {true};
    static const struct start defaults = {true};
    static const struct settings_field fields[] = {
        {.name = "acknowledge_on_stop", .kind = SETTINGS_BOOLEAN}, {0}};
    static const struct settings_object object = {"StartHintingCmd", fields, sizeof start,
                                                  &defaults};
    struct control *control = call->control;
    if (call->body && api_read_body(call, &object, false, &start) < 0)
        return -1;
    return need_hinting(call) < 0 ? -1
                                  : control->operations->start_balloon_hinting(
                                        control->context, start.acknowledge_on_stop, call->err);
}

static int get_hinting(struct api_call *call)
{
    struct control *control = call->control;
    struct balloon_hinting hinting = {0};
    if (need_hinting(call) < 0 ||
        control->operations->get_balloon_hinting(control->context, &hinting, call->err) < 0)
        return -1;
    call->result =
        json_pack("{s:I,s:o}", "host_cmd", (json_int_t)hinting.host_command, "guest_cmd",
                  hinting.has_guest_command ? json_integer(hinting.guest_command) : json_null());
    return 0;
}

static int stop_hinting(struct api_call *call)
{
    struct control *control = call->control;
    return need_hinting(call) < 0
               ? -1
               : control->operations->stop_balloon_hinting(control->context, call->err);
}

/* ---- hot-plugged memory ---- */

static int need_hotplug(struct api_call *call)
{
    return call->control->settings.memory_hotplug.given
               ? 0
               : error_set(call->err, 0,
                           "Memory hotplug config error: No memory hotplug device found.");
}

static int put_hotplug(struct api_call *call)
{
    struct memory_hotplug_settings memory;
    if (api_read_body(call, &settings_memory_hotplug, false, &memory) < 0)
        return -1;
    return vm_settings_put_memory_hotplug(&call->control->settings, &memory, call->err);
}

static int patch_hotplug(struct api_call *call)
{
    struct control *control = call->control;
    const struct memory_hotplug_settings *memory = &control->settings.memory_hotplug;
    uint32_t size;
    if (read_number(call, "MemoryHotplugSizeUpdate", "requested_size_mib", &size) < 0 ||
        need_hotplug(call) < 0)
        return -1;
    if (size > memory->total_size_mib)
        return error_set(call->err, 0,
                         "Memory hotplug config error: the requested size of %u MiB is above the "
                         "total of %u MiB",
                         size, memory->total_size_mib);
    if (size % memory->block_size_mib)
        return error_set(call->err, 0,
                         "Memory hotplug config error: the requested size of %u MiB is not a "
                         "multiple of the blocks of %u MiB",
                         size, memory->block_size_mib);
    return control->operations->set_hotplug_size(control->context, size, call->err);
}

static int get_hotplug(struct api_call *call)
{
    struct control *control = call->control;
    struct memory_hotplug_status status = {0};
    if (need_hotplug(call) < 0 ||
        control->operations->get_hotplug_status(control->context, &status, call->err) < 0)
        return -1;
    call->result = settings_print(&settings_memory_hotplug, &control->settings.memory_hotplug);
    json_object_set_new(call->result, "plugged_size_mib",
                        json_integer((json_int_t)status.plugged_size_mib));
    json_object_set_new(call->result, "requested_size_mib",
                        json_integer((json_int_t)status.requested_size_mib));
    return 0;
}

const struct api_resource api_memory_resources[] = {
    {"/balloon",
     false,
     {{"GET", API_ANY_TIME, API_NO_BODY, get_balloon, 0, 0},
      {"PUT", API_BEFORE_START, API_BODY, put_balloon, 0, 0},
      {"PATCH", API_AFTER_START, API_BODY, patch_balloon, 0, 0}}},
    {"/balloon/statistics",
     false,
     {{"GET", API_AFTER_START, API_NO_BODY, get_statistics, 0, 0},
      {"PATCH", API_AFTER_START, API_BODY, patch_statistics, 0, 0}}},
    {"/balloon/hinting/start",
     false,
     {{"PATCH", API_AFTER_START, API_OPTIONAL_BODY, start_hinting, 0, 0}}},
    {"/balloon/hinting/status", false, {{"GET", API_AFTER_START, API_NO_BODY, get_hinting, 0, 0}}},
    {"/balloon/hinting/stop",
     false,
     {{"PATCH", API_AFTER_START, API_OPTIONAL_BODY, stop_hinting, 0, 0}}},
    {"/hotplug/memory",
     false,
     {{"GET", API_AFTER_START, API_NO_BODY, get_hotplug,
       API_COUNTER(get_api_requests, hotplug_memory_count), 0},
      {"PUT", API_BEFORE_START, API_BODY, put_hotplug,
       API_COUNTER(put_api_requests, hotplug_memory_count),
       API_COUNTER(put_api_requests, hotplug_memory_fails)},
      {"PATCH", API_AFTER_START, API_BODY, patch_hotplug,
       API_COUNTER(patch_api_requests, hotplug_memory_count),
       API_COUNTER(patch_api_requests, hotplug_memory_fails)}}},
    {0},
};
