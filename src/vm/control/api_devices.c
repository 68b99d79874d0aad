/* Devices: /drives, /network-interfaces, /pmem, /filesystems, /vsock, /entropy, /serial.
 *
 * Before the start a PUT changes settings. After it, on a machine with a PCI bus, a PUT attaches a
 * new drive, interface or pmem device, and DELETE takes one away. */
#include <stdlib.h>

#include "base/memory.h"
#include "vm/control/api.h"
#include "vm/control/settings_check.h"

static int check_hotplug(struct api_call *call, bool has_operation)
{
    if (!call->control->pci)
        return error_set(call->err, 0, "PCI is not enabled");
    return has_operation ? 0 : error_set(call->err, 0, "This monitor can't hot-plug such devices");
}

static int check_new(struct api_call *call, bool has_operation, bool exists)
{
    if (check_hotplug(call, has_operation) < 0)
        return -1;
    return exists ? error_set(call->err, 0, "Device ID in use") : 0;
}

static int check_known(struct api_call *call, bool has_operation, bool exists, bool is_root)
{
    if (check_hotplug(call, has_operation) < 0)
        return -1;
    if (!exists)
        return error_set(call->err, 0, "Device not found");
    return is_root ? error_set(call->err, 0, "Cannot unplug root device") : 0;
}

static int fail_root(struct api_call *call)
{
    return error_set(call->err, 0, "A root device can't be attached to a running VM");
}

/* ---- drives ---- */

/* In the settings first, with all their checks; out again if it can't be attached. */
static int attach_drive(struct api_call *call, struct drive_settings *drive)
{
    struct control *control = call->control;
    struct vm_settings *settings = &control->settings;
    bool is_root = drive->is_root;
    if (check_new(call, control->operations->attach_drive, vm_settings_drive(settings, call->id)) <
            0 ||
        vm_settings_put_drive(settings, drive, call->err) < 0)
        return -1;
    int status = is_root ? fail_root(call)
                         : control->operations->attach_drive(
                               control->context, vm_settings_drive(settings, call->id), call->err);
    if (status < 0)
        vm_settings_remove_drive(settings, call->id);
    return status;
}

static int put_drive(struct api_call *call)
{
    struct drive_settings drive;
    struct control *control = call->control;
    int status = api_read_body(call, &settings_drive, false, &drive);
    if (status == 0)
        status = api_check_id(call, drive.id);
    if (status == 0)
        status = control->state == VM_NOT_STARTED
                     ? vm_settings_put_drive(&control->settings, &drive, call->err)
                     : attach_drive(call, &drive);
    settings_release(&settings_drive, &drive);
    return status;
}

static int update_drive(struct api_call *call, const struct drive_settings *update)
{
    struct control *control = call->control;
    struct drive_settings *drive = vm_settings_drive(&control->settings, update->id);
    if (!drive)
        return error_set(call->err, 0,
                         "Drive config error: Unable to patch the block device: "
                         "device '%s' not found",
                         update->id);
    if (!update->path && !update->limiter.given)
        return error_set(call->err, 0,
                         "Drive config error: Unable to patch the block device: "
                         "Running method expected different backend.");
    if (update->path && settings_check_drive_file(update->path, drive->is_read_only, call->err) < 0)
        return error_wrap(call->err, "Drive config error: Unable to patch the block device");
    if (control->operations->update_drive(control->context, update->id, update->path,
                                          &update->limiter, call->err) < 0)
        return error_wrap(call->err, "Drive config error: Unable to patch the block device");
    if (update->path) {
        free(drive->path);
        drive->path = memory_copy_string(update->path);
    }
    limiter_settings_update(&drive->limiter, &update->limiter);
    return 0;
}

static int patch_drive(struct api_call *call)
{
    struct drive_settings update = {0};
    int status = api_read_body(call, &settings_drive_update, false, &update);
    if (status == 0)
        status = api_check_id(call, update.id);
    if (status == 0)
        status = update_drive(call, &update);
    settings_release(&settings_drive_update, &update);
    return status;
}

static int delete_drive(struct api_call *call)
{
    struct control *control = call->control;
    const struct drive_settings *drive = vm_settings_drive(&control->settings, call->id);
    if (check_known(call, control->operations->detach_drive, drive, drive && drive->is_root) < 0 ||
        control->operations->detach_drive(control->context, call->id, call->err) < 0)
        return -1;
    vm_settings_remove_drive(&control->settings, call->id);
    return 0;
}

/* ---- network interfaces ---- */

static int attach_interface(struct api_call *call, struct interface_settings *interface)
{
    struct control *control = call->control;
    struct vm_settings *settings = &control->settings;
    if (check_new(call, control->operations->attach_interface,
                  vm_settings_interface(settings, call->id)) < 0 ||
        vm_settings_put_interface(settings, interface, call->err) < 0)
        return -1;
    int status = control->operations->attach_interface(
        control->context, vm_settings_interface(settings, call->id), call->err);
    if (status < 0)
        vm_settings_remove_interface(settings, call->id);
    return status;
}

static int put_interface(struct api_call *call)
{
    struct interface_settings interface;
    struct control *control = call->control;
    int status = api_read_body(call, &settings_interface, false, &interface);
    if (status == 0)
        status = api_check_id(call, interface.id);
    if (status == 0)
        status = control->state == VM_NOT_STARTED
                     ? vm_settings_put_interface(&control->settings, &interface, call->err)
                     : attach_interface(call, &interface);
    settings_release(&settings_interface, &interface);
    return status;
}

static int update_interface(struct api_call *call, const struct interface_settings *update)
{
    struct control *control = call->control;
    struct interface_settings *interface = vm_settings_interface(&control->settings, update->id);
    if (!interface)
        return error_set(call->err, 0, "Network config error: device '%s' not found", update->id);
    if (control->operations->update_interface(control->context, update->id, &update->rx_limiter,
                                              &update->tx_limiter, call->err) < 0)
        return -1;
    limiter_settings_update(&interface->rx_limiter, &update->rx_limiter);
    limiter_settings_update(&interface->tx_limiter, &update->tx_limiter);
    return 0;
}

static int patch_interface(struct api_call *call)
{
    struct interface_settings update = {0};
    int status = api_read_body(call, &settings_interface_update, false, &update);
    if (status == 0)
        status = api_check_id(call, update.id);
    if (status == 0)
        status = update_interface(call, &update);
    settings_release(&settings_interface_update, &update);
    return status;
}

static int delete_interface(struct api_call *call)
{
    struct control *control = call->control;
    if (check_known(call, control->operations->detach_interface,
                    vm_settings_interface(&control->settings, call->id), false) < 0 ||
        control->operations->detach_interface(control->context, call->id, call->err) < 0)
        return -1;
    vm_settings_remove_interface(&control->settings, call->id);
    return 0;
}

/* ---- pmem ---- */

static int attach_pmem(struct api_call *call, struct pmem_settings *pmem)
{
    struct control *control = call->control;
    struct vm_settings *settings = &control->settings;
    bool is_root = pmem->is_root;
    if (check_new(call, control->operations->attach_pmem, vm_settings_pmem(settings, call->id)) <
            0 ||
        vm_settings_put_pmem(settings, pmem, call->err) < 0)
        return -1;
    int status = is_root ? fail_root(call)
                         : control->operations->attach_pmem(
                               control->context, vm_settings_pmem(settings, call->id), call->err);
    if (status < 0)
        vm_settings_remove_pmem(settings, call->id);
    return status;
}

static int put_pmem(struct api_call *call)
{
    struct pmem_settings pmem;
    struct control *control = call->control;
    int status = api_read_body(call, &settings_pmem, false, &pmem);
    if (status == 0)
        status = api_check_id(call, pmem.id);
    if (status == 0)
        status = control->state == VM_NOT_STARTED
                     ? vm_settings_put_pmem(&control->settings, &pmem, call->err)
                     : attach_pmem(call, &pmem);
    settings_release(&settings_pmem, &pmem);
    return status;
}

static int update_pmem(struct api_call *call, const struct pmem_settings *update)
{
    struct control *control = call->control;
    struct pmem_settings *pmem = vm_settings_pmem(&control->settings, update->id);
    if (!pmem)
        return error_set(call->err, 0, "Pmem config error: device '%s' not found", update->id);
    if (update->limiter.given && control->operations->update_pmem(control->context, update->id,
                                                                  &update->limiter, call->err) < 0)
        return -1;
    limiter_settings_update(&pmem->limiter, &update->limiter);
    return 0;
}

static int patch_pmem(struct api_call *call)
{
    struct pmem_settings update = {0};
    int status = api_read_body(call, &settings_pmem_update, false, &update);
    if (status == 0)
        status = api_check_id(call, update.id);
    if (status == 0)
        status = update_pmem(call, &update);
    settings_release(&settings_pmem_update, &update);
    return status;
}

static int delete_pmem(struct api_call *call)
{
    struct control *control = call->control;
    const struct pmem_settings *pmem = vm_settings_pmem(&control->settings, call->id);
    if (check_known(call, control->operations->detach_pmem, pmem, pmem && pmem->is_root) < 0 ||
        control->operations->detach_pmem(control->context, call->id, call->err) < 0)
        return -1;
    vm_settings_remove_pmem(&control->settings, call->id);
    return 0;
}

/* ---- those there is one of, or that only settings know ---- */

static int put_filesystem(struct api_call *call)
{
    struct filesystem_settings filesystem;
    int status = api_read_body(call, &settings_filesystem, false, &filesystem);
    if (status == 0)
        status = api_check_id(call, filesystem.id);
    if (status == 0)
        status = vm_settings_put_filesystem(&call->control->settings, &filesystem, call->err);
    settings_release(&settings_filesystem, &filesystem);
    return status;
}

static int put_vsock(struct api_call *call)
{
    struct vsock_settings vsock;
    int status = api_read_body(call, &settings_vsock, false, &vsock);
    if (status == 0 && vsock.id)
        api_deprecate(call, "PUT /vsock: vsock_id field is deprecated.");
    if (status == 0)
        status = vm_settings_put_vsock(&call->control->settings, &vsock, call->err);
    settings_release(&settings_vsock, &vsock);
    return status;
}

static int put_entropy(struct api_call *call)
{
    struct entropy_settings entropy;
    if (api_read_body(call, &settings_entropy, false, &entropy) < 0)
        return -1;
    call->control->settings.entropy = entropy;
    call->control->settings.entropy.given = true;
    return 0;
}

static int put_serial(struct api_call *call)
{
    struct serial_settings serial;
    if (api_read_body(call, &settings_serial, false, &serial) < 0) {
        settings_release(&settings_serial, &serial);
        return -1;
    }
    settings_release(&settings_serial, &call->control->settings.serial);
    call->control->settings.serial = serial;
    call->control->settings.serial.given = true;
    return 0;
}

#define COUNTERS(group, name) API_COUNTER(group, name##_count), API_COUNTER(group, name##_fails)
#define PUT_COUNTERS(name) COUNTERS(put_api_requests, name)
#define PATCH_COUNTERS(name) COUNTERS(patch_api_requests, name)

const struct api_resource api_device_resources[] = {
    {"/drives/{id}",
     false,
     {{"PUT", API_ANY_TIME, API_BODY, put_drive, PUT_COUNTERS(drive)},
      {"PATCH", API_AFTER_START, API_BODY, patch_drive, PATCH_COUNTERS(drive)},
      {"DELETE", API_AFTER_START, API_NO_BODY, delete_drive, 0, 0}}},
    {"/network-interfaces/{id}",
     false,
     {{"PUT", API_ANY_TIME, API_BODY, put_interface, PUT_COUNTERS(network)},
      {"PATCH", API_AFTER_START, API_BODY, patch_interface, PATCH_COUNTERS(network)},
      {"DELETE", API_AFTER_START, API_NO_BODY, delete_interface, 0, 0}}},
    {"/pmem/{id}",
     false,
     {{"PUT", API_ANY_TIME, API_BODY, put_pmem, PUT_COUNTERS(pmem)},
      {"PATCH", API_AFTER_START, API_BODY, patch_pmem, PATCH_COUNTERS(pmem)},
      {"DELETE", API_AFTER_START, API_NO_BODY, delete_pmem, 0, 0}}},
    {"/filesystems/{id}", false, {{"PUT", API_BEFORE_START, API_BODY, put_filesystem, 0, 0}}},
    {"/vsock", false, {{"PUT", API_BEFORE_START, API_BODY, put_vsock, PUT_COUNTERS(vsock)}}},
    {"/entropy", false, {{"PUT", API_BEFORE_START, API_BODY, put_entropy, 0, 0}}},
    {"/serial", false, {{"PUT", API_BEFORE_START, API_BODY, put_serial, PUT_COUNTERS(serial)}}},
    {0},
};
