/* The settings as a whole: reading a file, finding, putting and taking out. */
#include "vm/control/settings.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/scope.h"
#include "vm/control/settings_check.h"
#include "vm/control/settings_field.h"

#define MAX_FILE_SIZE (4 << 20)

void vm_settings_initialize(struct vm_settings *settings)
{
    settings_set_defaults(&settings_vm, settings);
}

void vm_settings_release(struct vm_settings *settings)
{
    settings_release(&settings_vm, settings);
}

json_t *vm_settings_print(const struct vm_settings *settings)
{
    return settings_print(&settings_vm, settings);
}

/* ---- lists whose elements begin with their identifier ---- */

struct list {
    const struct settings_object *object;
    void *items; /* a pointer to the pointer to the elements */
    size_t *count;
};

static char *list_items(const struct list *list)
{
    char *items;
    memcpy(&items, list->items, sizeof items);
    return items;
}

/* The element with the identifier, or the number of elements. */
static size_t list_find(const struct list *list, const char *id)
{
    const char *items = list_items(list);
    for (size_t i = 0; i < *list->count; i++) {
        const char *other;
        memcpy(&other, items + i * list->object->size, sizeof other);
        if (other && strcmp(other, id) == 0)
            return i;
    }
    return *list->count;
}

static void list_remove(const struct list *list, const char *id)
{
    size_t at = list_find(list, id), size = list->object->size;
    char *items = list_items(list);
    if (at == *list->count)
        return;
    settings_release(list->object, items + at * size);
    memmove(items + at * size, items + (at + 1) * size, (*list->count - at - 1) * size);
    --*list->count;
}

/* Moves *item into the list at its old place; or first or last if it has none. */
static void list_put(const struct list *list, const char *id, bool first, void *item)
{
    size_t size = list->object->size, at = list_find(list, id);
    char *items = list_items(list);
    if (at < *list->count && !first) {
        settings_release(list->object, items + at * size);
    } else {
        list_remove(list, id);
        items = memory_resize(items, *list->count + 1, size);
        memcpy(list->items, &items, sizeof items);
        at = first ? 0 : *list->count;
        memmove(items + (at + 1) * size, items + at * size, (*list->count - at) * size);
        ++*list->count;
    }
    memcpy(items + at * size, item, size);
    memset(item, 0, size);
}

static struct list drives_of(const struct vm_settings *settings)
{
    struct vm_settings *changed = (struct vm_settings *)(uintptr_t)settings;
    return (struct list){&settings_drive, &changed->drives, &changed->drive_count};
}

static struct list interfaces_of(const struct vm_settings *settings)
{
    struct vm_settings *changed = (struct vm_settings *)(uintptr_t)settings;
    return (struct list){&settings_interface, &changed->interfaces, &changed->interface_count};
}

static struct list pmem_of(const struct vm_settings *settings)
{
    struct vm_settings *changed = (struct vm_settings *)(uintptr_t)settings;
    return (struct list){&settings_pmem, &changed->pmem, &changed->pmem_count};
}

struct drive_settings *vm_settings_drive(const struct vm_settings *settings, const char *id)
{
    struct list list = drives_of(settings);
    size_t at = list_find(&list, id);
    return at < settings->drive_count ? &settings->drives[at] : NULL;
}

struct interface_settings *vm_settings_interface(const struct vm_settings *settings, const char *id)
{
    struct list list = interfaces_of(settings);
    size_t at = list_find(&list, id);
    return at < settings->interface_count ? &settings->interfaces[at] : NULL;
}

struct pmem_settings *vm_settings_pmem(const struct vm_settings *settings, const char *id)
{
    struct list list = pmem_of(settings);
    size_t at = list_find(&list, id);
    return at < settings->pmem_count ? &settings->pmem[at] : NULL;
}

void vm_settings_remove_drive(struct vm_settings *settings, const char *id)
{
    struct list list = drives_of(settings);
    list_remove(&list, id);
}

void vm_settings_remove_interface(struct vm_settings *settings, const char *id)
{
    struct list list = interfaces_of(settings);
    list_remove(&list, id);
}

void vm_settings_remove_pmem(struct vm_settings *settings, const char *id)
{
    struct list list = pmem_of(settings);
    list_remove(&list, id);
}

int vm_settings_put_drive(struct vm_settings *settings, struct drive_settings *item,
                          struct error *err)
{
    struct list list = drives_of(settings);
    if (settings_check_drive(settings, item, err) < 0)
        return -1;
    list_put(&list, item->id, item->is_root, item);
    return 0;
}

int vm_settings_put_interface(struct vm_settings *settings, struct interface_settings *item,
                              struct error *err)
{
    struct list list = interfaces_of(settings);
    if (settings_check_interface(settings, item, err) < 0)
        return -1;
    list_put(&list, item->id, false, item);
    return 0;
}

int vm_settings_put_pmem(struct vm_settings *settings, struct pmem_settings *item,
                         struct error *err)
{
    struct list list = pmem_of(settings);
    if (settings_check_pmem(settings, item, err) < 0)
        return -1;
    list_put(&list, item->id, false, item);
    return 0;
}

int vm_settings_put_filesystem(struct vm_settings *settings, struct filesystem_settings *item,
                               struct error *err)
{
    struct list list = {&settings_filesystem, &settings->filesystems, &settings->filesystem_count};
    if (settings_check_filesystem(settings, item, err) < 0)
        return -1;
    list_put(&list, item->id, false, item);
    return 0;
}

/* ---- single objects ---- */

/* Moves *item to *place. */
static void move_object(const struct settings_object *object, void *place, void *item)
{
    settings_release(object, place);
    memcpy(place, item, object->size);
    memset(item, 0, object->size);
    *(bool *)place = true;
}

int vm_settings_put_boot(struct vm_settings *settings, struct boot_settings *item,
                         struct error *err)
{
    if (settings_check_boot(item, err) < 0)
        return -1;
    move_object(&settings_boot, &settings->boot, item);
    return 0;
}

int vm_settings_put_machine(struct vm_settings *settings, const struct machine_settings *item,
                            struct error *err)
{
    if (settings_check_machine(item, &settings->balloon, err) < 0)
        return -1;
    if (item->cpu_template != CPU_TEMPLATE_NONE)
        cpu_settings_release(&settings->cpu);
    settings->machine = *item;
    settings->machine.given = true;
    return 0;
}

int vm_settings_put_cpu(struct vm_settings *settings, struct cpu_settings *item)
{
    cpu_settings_release(&settings->cpu);
    settings->cpu = *item;
    settings->cpu.given = true;
    settings->machine.cpu_template = CPU_TEMPLATE_NONE;
    *item = (struct cpu_settings){0};
    return 0;
}

int vm_settings_put_vsock(struct vm_settings *settings, struct vsock_settings *item,
                          struct error *err)
{
    if (settings_check_vsock(item, err) < 0)
        return -1;
    move_object(&settings_vsock, &settings->vsock, item);
    return 0;
}

int vm_settings_put_balloon(struct vm_settings *settings, const struct balloon_settings *item,
                            struct error *err)
{
    if (settings_check_balloon(item, settings->machine.mem_size_mib, err) < 0)
        return -1;
    settings->balloon = *item;
    settings->balloon.given = true;
    return 0;
}

int vm_settings_put_memory_hotplug(struct vm_settings *settings,
                                   const struct memory_hotplug_settings *item, struct error *err)
{
    if (settings_check_memory_hotplug(item, err) < 0)
        return -1;
    settings->memory_hotplug = *item;
    settings->memory_hotplug.given = true;
    return 0;
}

int vm_settings_put_metadata(struct vm_settings *settings, struct metadata_settings *item,
                             struct error *err)
{
    if (settings_check_metadata(settings, item, err) < 0)
        return -1;
    move_object(&settings_metadata, &settings->metadata, item);
    return 0;
}

void limiter_settings_update(struct limiter_settings *limiter,
                             const struct limiter_settings *update)
{
    if (!update->given)
        return;
    limiter->given = true;
    if (update->bandwidth.given)
        limiter->bandwidth = update->bandwidth;
    if (update->ops.given)
        limiter->ops = update->ops;
}

/* ---- the whole document ---- */

/* Moves the lists of *from, element by element, through the checks that single requests get. */
static int put_lists(struct vm_settings *settings, struct vm_settings *from, struct error *err)
{
    for (size_t i = 0; i < from->drive_count; i++) {
        if (vm_settings_put_drive(settings, &from->drives[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < from->interface_count; i++) {
        if (vm_settings_put_interface(settings, &from->interfaces[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < from->pmem_count; i++) {
        if (vm_settings_put_pmem(settings, &from->pmem[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < from->filesystem_count; i++) {
        if (vm_settings_put_filesystem(settings, &from->filesystems[i], err) < 0)
            return -1;
    }
    return 0;
}

static int put_objects(struct vm_settings *settings, struct vm_settings *from, struct error *err)
{
    if (vm_settings_put_boot(settings, &from->boot, err) < 0 ||
        vm_settings_put_machine(settings, &from->machine, err) < 0 ||
        (from->vsock.given && vm_settings_put_vsock(settings, &from->vsock, err) < 0) ||
        (from->balloon.given && vm_settings_put_balloon(settings, &from->balloon, err) < 0) ||
        (from->memory_hotplug.given &&
         vm_settings_put_memory_hotplug(settings, &from->memory_hotplug, err) < 0) ||
        (from->metadata.given && vm_settings_put_metadata(settings, &from->metadata, err) < 0))
        return -1;
    if (from->cpu.given)
        vm_settings_put_cpu(settings, &from->cpu);
    settings->entropy = from->entropy;
    if (from->serial.given)
        move_object(&settings_serial, &settings->serial, &from->serial);
    if (from->logger.given)
        move_object(&settings_logger, &settings->logger, &from->logger);
    if (from->metrics.given)
        move_object(&settings_metrics, &settings->metrics, &from->metrics);
    return 0;
}

/* Firecracker's files name another file in "cpu-config": puts its content there. */
static int include_cpu_file(json_t *document, struct error *err)
{
    const json_t *name = json_object_get(document, "cpu-config");
    if (!json_is_string(name))
        return 0;
    const char *path = json_string_value(name);
    size_t length;
    scope_free char *text = file_read_all(AT_FDCWD, path, MAX_FILE_SIZE, &length, err);
    json_t *content = text ? settings_parse(text, length, err) : NULL;
    if (!content)
        return error_wrap(err, "cpu-config '%s'", path);
    return json_object_set_new(document, "cpu-config", content);
}

static int read_document(struct vm_settings *made, json_t *document, struct error *err)
{
    struct vm_settings raw;
    vm_settings_initialize(&raw);
    int status = include_cpu_file(document, err);
    if (status == 0)
        status = settings_read(&settings_vm, document, false, &raw, err);
    if (status == 0)
        status = put_lists(made, &raw, err);
    if (status == 0)
        status = put_objects(made, &raw, err);
    vm_settings_release(&raw);
    return status;
}

int vm_settings_read(struct vm_settings *settings, const char *text, size_t length,
                     struct error *err)
{
    struct vm_settings made;
    json_t *document = settings_parse(text, length, err);
    if (!document)
        return -1;
    vm_settings_initialize(&made);
    int status = read_document(&made, document, err);
    json_decref(document);
    if (status < 0) {
        vm_settings_release(&made);
        return -1;
    }
    vm_settings_release(settings);
    *settings = made;
    return 0;
}

int vm_settings_read_file(struct vm_settings *settings, const char *path, struct error *err)
{
    size_t length;
    scope_free char *text = file_read_all(AT_FDCWD, path, MAX_FILE_SIZE, &length, err);
    if (!text || vm_settings_read(settings, text, length, err) < 0)
        return error_wrap(err, "Configuration for VMM from one single json failed: '%s'", path);
    return 0;
}
