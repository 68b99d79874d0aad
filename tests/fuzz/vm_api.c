/* Fuzzes what hull-vmm reads from others: the bodies of API requests (before and after the start),
 * whole configuration files, and what a guest sends to the metadata service. The first byte chooses
 * which; of an API request the next one chooses the resource. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/control/control.h"
#include "vm/control/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept)
{
    if (!kept)
        abort();
}

/* ---- a machine that agrees to everything ---- */

static int agree(void *context, struct error *err)
{
    (void)context, (void)err;
    return 0;
}

static int agree_start(void *context, const struct vm_settings *settings, struct error *err)
{
    (void)context, (void)err;
    promise(settings->machine.vcpu_count >= 1 && settings->machine.vcpu_count <= VM_MAX_VCPUS);
    promise(settings->machine.mem_size_mib >= 1 &&
            settings->machine.mem_size_mib <= VM_MAX_MEMORY_MIB);
    promise(settings->drive_count <= VM_MAX_DEVICES);
    return 0;
}

static int agree_drive(void *context, const char *id, const char *path,
                       const struct limiter_settings *limiter, struct error *err)
{
    (void)context, (void)path, (void)err;
    promise(*id && limiter);
    return 0;
}

static int agree_interface(void *context, const char *id, const struct limiter_settings *rx,
                           const struct limiter_settings *tx, struct error *err)
{
    (void)context, (void)err;
    promise(*id && rx && tx);
    return 0;
}

static int agree_pmem(void *context, const char *id, const struct limiter_settings *limiter,
                      struct error *err)
{
    (void)context, (void)err;
    promise(*id && limiter->given);
    return 0;
}

static int agree_attach_drive(void *context, const struct drive_settings *drive, struct error *err)
{
    (void)context, (void)err;
    promise(drive->id && drive->path && !drive->is_root);
    return 0;
}

static int agree_attach_interface(void *context, const struct interface_settings *interface,
                                  struct error *err)
{
    (void)context, (void)err;
    promise(interface->id && (interface->host_device || interface->backend == INTERFACE_USER));
    return 0;
}

static int agree_attach_pmem(void *context, const struct pmem_settings *pmem, struct error *err)
{
    (void)context, (void)err;
    promise(pmem->id && pmem->path && !pmem->is_root);
    return 0;
}

static int agree_detach(void *context, const char *id, struct error *err)
{
    (void)context, (void)err;
    promise(*id);
    return 0;
}

static int agree_number(void *context, uint32_t number, struct error *err)
{
    (void)context, (void)number, (void)err;
    return 0;
}

static int agree_statistics(void *context, struct balloon_statistics *out, struct error *err)
{
    (void)context, (void)err;
    *out = (struct balloon_statistics){.guest.present = UINT32_MAX};
    return 0;
}

static int agree_hinting(void *context, bool acknowledge, struct error *err)
{
    (void)context, (void)acknowledge, (void)err;
    return 0;
}

static int agree_hinting_status(void *context, struct balloon_hinting *out, struct error *err)
{
    (void)context, (void)out, (void)err;
    return 0;
}

static int agree_hotplug_status(void *context, struct memory_hotplug_status *out, struct error *err)
{
    (void)context, (void)out, (void)err;
    return 0;
}

static const struct control_operations operations = {
    .start = agree_start,
    .pause = agree,
    .resume = agree,
    .send_ctrl_alt_del = agree,
    .update_drive = agree_drive,
    .update_interface = agree_interface,
    .update_pmem = agree_pmem,
    .attach_drive = agree_attach_drive,
    .attach_interface = agree_attach_interface,
    .attach_pmem = agree_attach_pmem,
    .detach_drive = agree_detach,
    .detach_interface = agree_detach,
    .detach_pmem = agree_detach,
    .set_balloon_amount = agree_number,
    .set_balloon_interval = agree_number,
    .get_balloon_statistics = agree_statistics,
    .start_balloon_hinting = agree_hinting,
    .get_balloon_hinting = agree_hinting_status,
    .stop_balloon_hinting = agree,
    .set_hotplug_size = agree_number,
    .get_hotplug_status = agree_hotplug_status,
};

/* ---- requests ---- */

/* /logger and /metrics make files, and so are left out. */
static const struct {
    const char *method, *path;
} requests[] = {
    {"PUT", "/machine-config"},
    {"PATCH", "/machine-config"},
    {"PUT", "/boot-source"},
    {"PUT", "/cpu-config"},
    {"PUT", "/drives/a"},
    {"PATCH", "/drives/a"},
    {"PUT", "/network-interfaces/a"},
    {"PATCH", "/network-interfaces/a"},
    {"PUT", "/pmem/a"},
    {"PATCH", "/pmem/a"},
    {"PUT", "/filesystems/a"},
    {"PUT", "/vsock"},
    {"PUT", "/entropy"},
    {"PUT", "/serial"},
    {"PUT", "/balloon"},
    {"PATCH", "/balloon"},
    {"PATCH", "/balloon/statistics"},
    {"PATCH", "/balloon/hinting/start"},
    {"PUT", "/hotplug/memory"},
    {"PATCH", "/hotplug/memory"},
    {"PUT", "/mmds"},
    {"PATCH", "/mmds"},
    {"PUT", "/mmds/config"},
    {"PUT", "/actions"},
    {"PATCH", "/vm"},
    {"PUT", "/snapshot/load"},
};

static void ask(struct control *control, const char *method, const char *path, const void *body,
                size_t length)
{
    struct control_request request = {method, path, body, length};
    struct control_reply reply;
    control_answer(control, &request, &reply);
    promise(reply.status == 200 || reply.status == 204 || reply.status == 400 ||
            reply.status == 413);
    promise((reply.status == 204) == !reply.text);
    if (reply.text) {
        json_t *document = json_loads(reply.text, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
        promise(document);
        promise(reply.status == 200 || json_is_string(json_object_get(document, "fault_message")));
        json_decref(document);
    }
    free(reply.text);
}

static void put(struct control *control, const char *path, const char *body)
{
    ask(control, "PUT", path, body, strlen(body));
}

/* One with all devices, so that updates find what they are for. */
static void prepare(struct control *control)
{
    put(control, "/boot-source", "{\"kernel_image_path\":\"/proc/self/exe\"}");
    put(control, "/network-interfaces/a", "{\"iface_id\":\"a\",\"host_dev_name\":\"t\"}");
    put(control, "/balloon",
        "{\"amount_mib\":1,\"deflate_on_oom\":true,\"stats_polling_interval_s\":1,"
        "\"free_page_hinting\":true}");
    put(control, "/hotplug/memory", "{\"total_size_mib\":128}");
    put(control, "/mmds", "{\"a\":{\"b\":1}}");
}

static void fuzz_requests(const uint8_t *data, size_t size, bool started)
{
    static struct loop loop;
    static bool has_loop;
    if (!has_loop)
        promise(loop_open(&loop, NULL) == 0);
    has_loop = true;
    struct metrics *metrics = metrics_create();
    struct control_options options = {
        .id = "fuzz", .pci = true, .metadata_limit = 4096, .metrics = metrics};
    struct control *control = control_create(&loop, &options, &operations, NULL);
    prepare(control);
    if (started)
        put(control, "/actions", "{\"action_type\":\"InstanceStart\"}");
    if (size > 0) {
        size_t which = data[0] % (sizeof requests / sizeof *requests);
        ask(control, requests[which].method, requests[which].path, data + 1, size - 1);
        ask(control, requests[which].method, requests[which].path, data + 1, size - 1);
    }
    ask(control, "GET", "/vm/config", "", 0);
    ask(control, "GET", "/mmds", "", 0);
    control_destroy(control);
    metrics_destroy(metrics);
}

/* What is read, printed and read again is the same. */
static void fuzz_file(const uint8_t *data, size_t size)
{
    struct vm_settings settings, again;
    struct error err;
    vm_settings_initialize(&settings);
    vm_settings_initialize(&again);
    if (vm_settings_read(&settings, (const char *)data, size, &err) == 0) {
        json_t *printed = vm_settings_print(&settings);
        char *text = json_dumps(printed, 0);
        promise(text && vm_settings_read(&again, text, strlen(text), &err) == 0);
        json_t *reprinted = vm_settings_print(&again);
        promise(json_equal(printed, reprinted));
        json_decref(printed);
        json_decref(reprinted);
        free(text);
    }
    vm_settings_release(&settings);
    vm_settings_release(&again);
}

static void fuzz_guest(const uint8_t *data, size_t size)
{
    struct metadata *metadata = metadata_create(4096, NULL);
    struct metadata_settings settings = {.version = data[0] & 1 ? METADATA_V2 : METADATA_V1,
                                         .imds_compat = data[0] & 2};
    json_t *content = json_pack("{s:{s:s,s:[i,s],s:n}}", "a", "b", "c", "d", 1, "e", "f");
    metadata_configure(metadata, &settings);
    if (data[0] & 4)
        metadata_put(metadata, content);
    data++, size--;
    while (size > 0) {
        struct metadata_response response;
        size_t used = metadata_respond(metadata, (const char *)data, size, 0, &response);
        promise(used <= size);
        if (used == 0)
            break;
        promise(response.length > 9 && memcmp(response.bytes, "HTTP/1.1 ", 9) == 0);
        free(response.bytes);
        data += used;
        size -= used;
    }
    json_decref(content);
    metadata_destroy(metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct logger_settings silent = {.level_given = true, .level = LOG_LEVEL_OFF};
    log_configure(&silent, NULL);
    if (size < 2)
        return 0;
    switch (data[0] & 3) {
    case 0:
        fuzz_requests(data + 1, size - 1, false);
        break;
    case 1:
        fuzz_requests(data + 1, size - 1, true);
        break;
    case 2:
        fuzz_file(data + 1, size - 1);
        break;
    default:
        fuzz_guest(data + 1, size - 1);
    }
    return 0;
}
