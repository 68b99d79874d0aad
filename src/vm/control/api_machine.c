/* The machine itself: /, /version, /vm, /vm/config, /machine-config, /boot-source, /cpu-config,
 * /actions; and /snapshot/…, which isn't there yet. */
#include <string.h>
#include <time.h>

#include "vm/control/api.h"
#include "vm/control/log.h"

static int get_instance(struct api_call *call)
{
    static const char *const states[] = {"Not started", "Running", "Paused"};
    call->result = json_pack("{s:s,s:s,s:s,s:s}", "id", call->control->id, "state",
                             states[call->control->state], "vmm_version", HULL_VERSION, "app_name",
                             "hull-vmm");
    return 0;
}

static int get_version(struct api_call *call)
{
    call->result = json_pack("{s:s}", "firecracker_version", CONTROL_API_VERSION);
    return 0;
}

static int get_configuration(struct api_call *call)
{
    call->result = vm_settings_print(&call->control->settings);
    return 0;
}

static int get_machine(struct api_call *call)
{
    call->result = settings_print(&settings_machine, &call->control->settings.machine);
    return 0;
}

static void warn_of_template(struct api_call *call, const char *method)
{
    char text[96];
    if (!json_object_get(call->body, "cpu_template"))
        return;
    snprintf(text, sizeof text, "%s /machine-config: cpu_template field is deprecated.", method);
    api_deprecate(call, text);
}

static int put_machine(struct api_call *call)
{
    struct machine_settings machine;
    if (api_read_body(call, &settings_machine, false, &machine) < 0)
        return -1;
    warn_of_template(call, "PUT");
    return vm_settings_put_machine(&call->control->settings, &machine, call->err);
}

static int patch_machine(struct api_call *call)
{
    struct machine_settings machine, read;
    if (json_is_object(call->body) && json_object_size(call->body) == 0)
        return error_set(call->err, 0, "Empty PATCH request.");
    /* Once for the wording of its errors, once on top of what there is. */
    if (api_read_body(call, &settings_machine, true, &read) < 0)
        return -1;
    machine = call->control->settings.machine;
    if (settings_read(&settings_machine, call->body, true, &machine, call->err) < 0)
        return -1;
    warn_of_template(call, "PATCH");
    return vm_settings_put_machine(&call->control->settings, &machine, call->err);
}

static int put_boot(struct api_call *call)
{
    struct boot_settings boot;
    int status = api_read_body(call, &settings_boot, false, &boot);
    if (status == 0)
        status = vm_settings_put_boot(&call->control->settings, &boot, call->err);
    settings_release(&settings_boot, &boot);
    return status;
}

static int put_cpu(struct api_call *call)
{
    struct cpu_settings cpu = {0};
    if (cpu_settings_read(&cpu, call->body, call->err) < 0)
        return error_wrap(call->err,
                          "An error occurred when deserializing the json body of a request");
    return vm_settings_put_cpu(&call->control->settings, &cpu);
}

/* ---- what happens to a machine ---- */

static uint64_t microseconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - begin->tv_sec) * 1000000 +
                      (now.tv_nsec - begin->tv_nsec) / 1000);
}

static int change_state(struct api_call *call, enum vm_state wanted)
{
    struct control *control = call->control;
    struct metrics_latencies_us *latencies = &metrics_of(control->metrics)->latencies_us;
    struct timespec begin;
    bool pauses = wanted == VM_PAUSED;
    if (control->state == wanted)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if ((pauses ? control->operations->pause : control->operations->resume)(control->context,
                                                                            call->err) < 0)
        return -1;
    control->state = wanted;
    uint64_t taken = microseconds_since(&begin);
    metrics_set(pauses ? &latencies->pause_vm : &latencies->resume_vm, taken);
    metrics_set(pauses ? &latencies->vmm_pause_vm : &latencies->vmm_resume_vm, taken);
    return 0;
}

/* The body is an object of the one member name, one of words; sets *choice to its index. */
static int read_word(struct api_call *call, const char *type, const char *name,
                     const char *const *words, int *choice)
{
    struct settings_field fields[2] = {
        {.name = name, .kind = SETTINGS_CHOICE, .required = true, .choices = words}, {0}};
    struct settings_object object = {type, fields, sizeof *choice, NULL};
    return api_read_body(call, &object, false, choice);
}

static int patch_state(struct api_call *call)
{
    static const char *const states[] = {"Paused", "Resumed", NULL};
    int choice;
    if (read_word(call, "Vm", "state", states, &choice) < 0)
        return -1;
    if (call->control->state == VM_NOT_STARTED)
        return api_fail_before_start(call);
    return change_state(call, choice == 0 ? VM_PAUSED : VM_RUNNING);
}

static int put_action(struct api_call *call)
{
    static const char *const actions[] = {"FlushMetrics", "InstanceStart", "SendCtrlAltDel", NULL};
    struct control *control = call->control;
    int choice;
    if (read_word(call, "ActionBody", "action_type", actions, &choice) < 0)
        return -1;
    if (choice == 1)
        return control_start(control, call->err);
    if (control->state == VM_NOT_STARTED)
        return api_fail_before_start(call);
    return choice == 0 ? metrics_flush(control->metrics, call->err)
                       : control->operations->send_ctrl_alt_del(control->context, call->err);
}

/* The one place that says so. */
static int refuse_snapshot(struct api_call *call)
{
    return error_set(call->err, 0,
                     "Snapshots come with hull's migration, which this hull-vmm "
                     "doesn't have: it can neither create nor load them.");
}

#define PUT_COUNTERS(name)                                                                         \
    API_COUNTER(put_api_requests, name##_count), API_COUNTER(put_api_requests, name##_fails)
#define GET_COUNTER(name) API_COUNTER(get_api_requests, name##_count)

const struct api_resource api_machine_resources[] = {
    {"/", false, {{"GET", API_ANY_TIME, API_NO_BODY, get_instance, GET_COUNTER(instance_info), 0}}},
    {"/version",
     false,
     {{"GET", API_ANY_TIME, API_NO_BODY, get_version, GET_COUNTER(vmm_version), 0}}},
    {"/vm", false, {{"PATCH", API_ANY_TIME, API_BODY, patch_state, 0, 0}}},
    {"/vm/config", false, {{"GET", API_ANY_TIME, API_NO_BODY, get_configuration, 0, 0}}},
    {"/machine-config",
     false,
     {{"GET", API_ANY_TIME, API_NO_BODY, get_machine, GET_COUNTER(machine_cfg), 0},
      {"PUT", API_BEFORE_START, API_BODY, put_machine, PUT_COUNTERS(machine_cfg)},
      {"PATCH", API_BEFORE_START, API_BODY, patch_machine,
       API_COUNTER(patch_api_requests, machine_cfg_count),
       API_COUNTER(patch_api_requests, machine_cfg_fails)}}},
    {"/boot-source",
     false,
     {{"PUT", API_BEFORE_START, API_BODY, put_boot, PUT_COUNTERS(boot_source)}}},
    {"/cpu-config", false, {{"PUT", API_BEFORE_START, API_BODY, put_cpu, PUT_COUNTERS(cpu_cfg)}}},
    {"/actions", false, {{"PUT", API_ANY_TIME, API_BODY, put_action, PUT_COUNTERS(actions)}}},
    {"/snapshot/create", false, {{"PUT", API_ANY_TIME, API_OPTIONAL_BODY, refuse_snapshot, 0, 0}}},
    {"/snapshot/load", false, {{"PUT", API_ANY_TIME, API_OPTIONAL_BODY, refuse_snapshot, 0, 0}}},
    {0},
};
