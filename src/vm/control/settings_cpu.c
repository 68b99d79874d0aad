/* /cpu-config: which bits of CPUID leaves and model specific registers the guest sees changed.
 *
 * Numbers are strings ("0x1a", "0b11", "26"); bitmaps are "0b" and for each bit, the highest first,
 * 0, 1 or x (left as it is), with underscores anywhere; what is missing at the front is x. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/control/settings.h"
#include "vm/control/settings_field.h"

#define MAX_MODIFIERS 512

/* The string member called name, or NULL with the error. */
static const char *get_text(const json_t *from, const char *name, struct error *err)
{
    const json_t *value = json_object_get(from, name);
    if (!value)
        error_set(err, 0, "missing field `%s`", name);
    else if (!json_is_string(value))
        error_set(err, 0, "invalid type: `%s`, expected a string", name);
    return value && json_is_string(value) ? json_string_value(value) : NULL;
}

static int read_number(const char *text, uint32_t *number, struct error *err)
{
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0b", 2) == 0 ? 2 : 10;
    const char *digits = text + (base == 10 ? 0 : 2);
    const char *known = base == 16 ? "0123456789abcdefABCDEF" : base == 2 ? "01" : "0123456789";
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, base);
    if (!*digits || digits[strspn(digits, known)] || errno || value > UINT32_MAX)
        return error_set(err, 0,
                         "invalid value: string \"%.64s\", expected a 32-bit number such "
                         "as 0x1a, 0b11010 or 26",
                         text);
    *number = (uint32_t)value;
    return 0;
}

static int read_member_number(const json_t *from, const char *name, uint32_t *number,
                              struct error *err)
{
    const char *text = get_text(from, name, err);
    return text ? read_number(text, number, err) : -1;
}

static int read_bitmap(const json_t *from, unsigned width, struct register_mask *mask,
                       struct error *err)
{
    const char *text = get_text(from, "bitmap", err);
    if (!text)
        return -1;
    unsigned bits = 0;
    *mask = (struct register_mask){0};
    if (strncmp(text, "0b", 2) != 0)
        return error_set(err, 0, "invalid value: bitmap \"%.80s\", expected 0b and 0, 1, x or _",
                         text);
    for (const char *at = text + 2; *at; at++) {
        if (*at == '_')
            continue;
        if (!strchr("01x", *at) || ++bits > width)
            return error_set(err, 0,
                             "invalid value: bitmap \"%.80s\", expected 0b and at most %u of 0, 1 "
                             "or x",
                             text, width);
        mask->filter = mask->filter << 1 | (*at != 'x');
        mask->bits = mask->bits << 1 | (*at == '1');
    }
    return bits > 0 ? 0 : error_set(err, 0, "invalid value: bitmap without bits");
}

/* -1 if the object has a key that isn't one of names. */
static int check_keys(const json_t *object, const char *const *names, struct error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return error_set(err, 0, "invalid type: expected a map");
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return error_set(err, 0, "unknown field `%.64s`", key);
    }
    return 0;
}

static int read_capability(const json_t *json, void *slot, struct error *err)
{
    struct capability_modifier *modifier = slot;
    if (!json_is_string(json))
        return error_set(err, 0,
                         "invalid type: expected a KVM capability such as \"171\" or "
                         "\"!171\"");
    const char *text = json_string_value(json);
    modifier->removed = *text == '!';
    return read_number(text + modifier->removed, &modifier->number, err);
}

static int read_register(const json_t *json, struct cpuid_modifier *modifier, struct error *err)
{
    static const char *const keys[] = {"register", "bitmap", NULL};
    const char *name;
    if (check_keys(json, keys, err) < 0 || !(name = get_text(json, "register", err)))
        return -1;
    struct register_mask *mask = strcmp(name, "eax") == 0   ? &modifier->eax
                                 : strcmp(name, "ebx") == 0 ? &modifier->ebx
                                 : strcmp(name, "ecx") == 0 ? &modifier->ecx
                                 : strcmp(name, "edx") == 0 ? &modifier->edx
                                                            : NULL;
    if (!mask)
        return error_set(err, 0,
                         "unknown variant `%.64s`, expected one of `eax`, `ebx`, `ecx`, "
                         "`edx`",
                         name);
    return read_bitmap(json, 32, mask, err);
}

static int read_cpuid(const json_t *json, void *slot, struct error *err)
{
    static const char *const keys[] = {"leaf", "subleaf", "flags", "modifiers", NULL};
    struct cpuid_modifier *modifier = slot;
    if (check_keys(json, keys, err) < 0 ||
        read_member_number(json, "leaf", &modifier->leaf, err) < 0 ||
        read_member_number(json, "subleaf", &modifier->subleaf, err) < 0)
        return -1;
    const json_t *flags = json_object_get(json, "flags"),
                 *registers = json_object_get(json, "modifiers");
    if (!json_is_integer(flags) || json_integer_value(flags) < 0 ||
        json_integer_value(flags) > UINT32_MAX)
        return error_set(err, 0,
                         flags ? "invalid type: `flags`, expected u32" : "missing field `flags`");
    modifier->flags = (uint32_t)json_integer_value(flags);
    if (!json_is_array(registers))
        return error_set(err, 0,
                         registers ? "invalid type: `modifiers`, expected a sequence"
                                   : "missing field `modifiers`");
    for (size_t i = 0; i < json_array_size(registers); i++) {
        if (read_register(json_array_get(registers, i), modifier, err) < 0)
            return -1;
    }
    return 0;
}

static int read_msr(const json_t *json, void *slot, struct error *err)
{
    static const char *const keys[] = {"addr", "bitmap", NULL};
    struct msr_modifier *modifier = slot;
    return check_keys(json, keys, err) < 0 ||
                   read_member_number(json, "addr", &modifier->address, err) < 0
               ? -1
               : read_bitmap(json, 64, &modifier->value, err);
}

/* The array called name, an element of size bytes each; returns the elements, or NULL: none, or
 * with *count SIZE_MAX the error. */
static void *read_list(const json_t *json, const char *name, size_t size,
                       int (*read)(const json_t *json, void *slot, struct error *err),
                       size_t *count, struct error *err)
{
    const json_t *list = json_object_get(json, name);
    size_t length = json_array_size(list);
    *count = 0;
    if (!list || json_is_null(list))
        return NULL;
    char *items = NULL;
    int status = 0;
    if (!json_is_array(list) || length > MAX_MODIFIERS)
        status = error_set(err, 0, "invalid type: `%s`, expected a sequence of at most %d", name,
                           MAX_MODIFIERS);
    else
        items = memory_allocate(length + 1, size);
    for (size_t i = 0; status == 0 && i < length; i++)
        status = read(json_array_get(list, i), items + i * size, err);
    *count = status < 0 ? SIZE_MAX : length;
    if (status < 0) {
        free(items);
        return NULL;
    }
    return items;
}

int cpu_settings_read(struct cpu_settings *cpu, const json_t *json, struct error *err)
{
    static const char *const keys[] = {"kvm_capabilities", "cpuid_modifiers", "msr_modifiers",
                                       NULL};
    if (json_is_object(json) &&
        (json_object_get(json, "reg_modifiers") || json_object_get(json, "vcpu_features")))
        return error_set(err, 0, "unknown field `%s`: it is for aarch64, and guests are x86_64",
                         json_object_get(json, "reg_modifiers") ? "reg_modifiers"
                                                                : "vcpu_features");
    if (check_keys(json, keys, err) < 0)
        return -1;
    struct cpu_settings made = {.given = true};
    made.capabilities = read_list(json, "kvm_capabilities", sizeof *made.capabilities,
                                  read_capability, &made.capability_count, err);
    bool ok = made.capability_count != SIZE_MAX;
    if (ok)
        made.cpuid = read_list(json, "cpuid_modifiers", sizeof *made.cpuid, read_cpuid,
                               &made.cpuid_count, err);
    ok = ok && made.cpuid_count != SIZE_MAX;
    if (ok)
        made.msrs =
            read_list(json, "msr_modifiers", sizeof *made.msrs, read_msr, &made.msr_count, err);
    if (!ok || made.msr_count == SIZE_MAX) {
        cpu_settings_release(&made);
        return -1;
    }
    made.document = json_deep_copy(json);
    cpu_settings_release(cpu);
    *cpu = made;
    return 0;
}

void cpu_settings_release(struct cpu_settings *cpu)
{
    json_decref(cpu->document);
    free(cpu->capabilities);
    free(cpu->cpuid);
    free(cpu->msrs);
    *cpu = (struct cpu_settings){0};
}
