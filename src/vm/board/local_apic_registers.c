/* The local APIC's registers, memory-mapped (Intel SDM 3A, table 11-1) and as model-specific
 * registers (11.12.1). Both have the same numbers: a sixteenth of the offset. */
#include "vm/board/local_apic_internal.h"

enum {
    REGISTER_ID = 0x02,
    REGISTER_VERSION = 0x03,
    REGISTER_TASK_PRIORITY = 0x08,
    REGISTER_ARBITRATION = 0x09,
    REGISTER_PRIORITY = 0x0a,
    REGISTER_END = 0x0b,
    REGISTER_REMOTE_READ = 0x0c,
    REGISTER_LOGICAL_ID = 0x0d,
    REGISTER_FORMAT = 0x0e,
    REGISTER_SPURIOUS = 0x0f,
    REGISTER_IN_SERVICE = 0x10,
    REGISTER_LEVEL_TRIGGERED = 0x18,
    REGISTER_REQUESTED = 0x20,
    REGISTER_ERROR = 0x28,
    REGISTER_COMMAND = 0x30,
    REGISTER_COMMAND_HIGH = 0x31,
    REGISTER_ENTRIES = 0x32,
    REGISTER_INITIAL = 0x38,
    REGISTER_COUNT = 0x39,
    REGISTER_DIVIDE = 0x3e,
    REGISTER_SELF = 0x3f,
};

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_FIRST 0x800
#define MSR_LAST 0x8ff

#define VERSION (0x14u | (LVT_ENTRIES - 1) << 16)
#define SPURIOUS_OPEN (1u << 8)
#define STATUS (1u << 12) /* "not delivered yet", which never shows */
/* Bits of ICR's lower half that a guest can set: vector, mode, destination mode, level, trigger
 * mode, shorthand. */
#define COMMAND_VALID 0xccfffu

/* What can be written to the local vector table. */
static const uint32_t entry_valid[LVT_ENTRIES] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_COUNTERS] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff};

static bool is_entry(uint32_t number)
{
    return number >= REGISTER_ENTRIES && number < REGISTER_ENTRIES + LVT_ENTRIES;
}

/* ---- Reading ---- */

static bool read_register(const struct local_apic *apic, uint32_t number, uint32_t *value)
{
    bool is_x2 = local_apic_is_x2(apic);
    if (number >= REGISTER_IN_SERVICE && number < REGISTER_ERROR) {
        const uint32_t *sets[] = {apic->in_service, apic->level_triggered, apic->requested};
        *value = sets[(number - REGISTER_IN_SERVICE) / 8][number % 8];
        return true;
    }
    if (is_entry(number)) {
        *value = apic->entries[number - REGISTER_ENTRIES];
        return true;
    }
    switch (number) {
    case REGISTER_ID:
        *value = is_x2 ? apic->id : (uint32_t)apic->short_id << 24;
        return true;
    case REGISTER_VERSION:
        *value = VERSION;
        return true;
    case REGISTER_TASK_PRIORITY:
        *value = apic->task_priority;
        return true;
    case REGISTER_PRIORITY:
        *value = local_apic_priority(apic);
        return true;
    case REGISTER_ARBITRATION:
    case REGISTER_REMOTE_READ:
    case REGISTER_END:
        *value = 0;
        return !is_x2;
    case REGISTER_LOGICAL_ID:
        *value = local_apic_logical_id(apic);
        return true;
    case REGISTER_FORMAT:
        *value = apic->destination_format;
        return !is_x2;
    case REGISTER_SPURIOUS:
        *value = apic->spurious;
        return true;
    case REGISTER_ERROR:
        *value = apic->error;
        return true;
    case REGISTER_COMMAND:
        *value = (uint32_t)apic->command;
        return true;
    case REGISTER_COMMAND_HIGH:
        *value = (uint32_t)(apic->command >> 32);
        return !is_x2;
    case REGISTER_INITIAL:
        *value = apic->timer.initial;
        return true;
    case REGISTER_COUNT:
        *value = local_apic_timer_count(apic);
        return true;
    case REGISTER_DIVIDE:
        *value = apic->timer.divide;
        return true;
    default:
        *value = 0;
        return false;
    }
}

uint64_t local_apic_read(struct local_apic *apic, uint32_t offset, unsigned size)
{
    uint32_t value;
    if (!read_register(apic, offset >> 4, &value))
        local_apic_set_error(apic, ERROR_REGISTER);
    /* Of the 16 bytes that each has, the first 4 are it. */
    unsigned skipped = offset & 15;
    uint64_t part = skipped < 4 ? value >> 8 * skipped : 0;
    return size >= 4 ? part : part & ((1u << 8 * size) - 1);
}

/* ---- Writing ---- */

/* Sends what ICR says (11.6.1). Only an INIT has a level: its de-assertion is for processors that
 * had arbitration ids, and does nothing. */
static void send_command(struct local_apic *apic)
{
    const uint32_t low = (uint32_t)apic->command, high = (uint32_t)(apic->command >> 32);
    const struct interrupt_message message = {.destination =
                                                  local_apic_is_x2(apic) ? high : high >> 24,
                                              .is_wide = local_apic_is_x2(apic),
                                              .is_logical = low >> 11 & 1,
                                              .shorthand = low >> 18 & 3,
                                              .delivery = low >> 8 & 7,
                                              .vector = (uint8_t)low};
    bool has_vector = message.delivery <= DELIVERY_LOWEST;
    bool is_deassertion = message.delivery == DELIVERY_INIT && !(low & 1u << 14);
    if (has_vector && message.vector < VECTOR_FIRST)
        local_apic_set_error(apic, ERROR_SEND_VECTOR);
    else if (!is_deassertion)
        apic->operations->send(apic, &message);
}

/* 11.9: while it is closed, all of the local vector table is masked. */
static void set_spurious(struct local_apic *apic, uint32_t value)
{
    apic->spurious = value & 0x3ff;
    if (value & SPURIOUS_OPEN)
        return;
    local_apic_timer_configure(apic, apic->entries[LVT_TIMER] | LVT_MASKED);
    for (unsigned i = 0; i < LVT_ENTRIES; i++)
        apic->entries[i] |= LVT_MASKED;
}

static void set_entry(struct local_apic *apic, enum local_apic_entry entry, uint32_t value)
{
    value &= entry_valid[entry];
    if (!(apic->spurious & SPURIOUS_OPEN))
        value |= LVT_MASKED;
    if (entry == LVT_TIMER) {
        local_apic_timer_configure(apic, value);
        return;
    }
    if (value & LVT_LEVEL)
        value |= apic->entries[entry] & LVT_REMOTE;
    apic->entries[entry] = value;
}

static bool write_register(struct local_apic *apic, uint32_t number, uint32_t value)
{
    if (is_entry(number)) {
        set_entry(apic, number - REGISTER_ENTRIES, value);
        return true;
    }
    switch (number) {
    case REGISTER_ID:
        apic->short_id = (uint8_t)(value >> 24);
        return true;
    case REGISTER_TASK_PRIORITY:
        apic->task_priority = (uint8_t)value;
        return true;
    case REGISTER_END:
        local_apic_end_interrupt(apic);
        return true;
    case REGISTER_LOGICAL_ID:
        apic->logical_id = value & 0xff000000;
        return true;
    case REGISTER_FORMAT:
        apic->destination_format = value | 0x0fffffff;
        return true;
    case REGISTER_SPURIOUS:
        set_spurious(apic, value);
        return true;
    case REGISTER_ERROR:
        apic->error = apic->error_collected;
        apic->error_collected = 0;
        return true;
    case REGISTER_COMMAND:
        apic->command = (apic->command & ~0xffffffffull) | (value & COMMAND_VALID);
        send_command(apic);
        return true;
    case REGISTER_COMMAND_HIGH:
        apic->command = (uint32_t)apic->command | (uint64_t)(value & 0xff000000) << 32;
        return true;
    case REGISTER_INITIAL:
        local_apic_timer_set_initial(apic, value);
        return true;
    case REGISTER_DIVIDE:
        local_apic_timer_set_divide(apic, value);
        return true;
    default:
        return false;
    }
}

void local_apic_write(struct local_apic *apic, uint32_t offset, unsigned size, uint32_t value)
{
    if ((offset & 15) != 0 || size != 4)
        return; /* 11.4.1: not defined */
    if (!write_register(apic, offset >> 4, value))
        local_apic_set_error(apic, ERROR_REGISTER);
}

/* ---- Model-specific registers ---- */

bool local_apic_is_msr(uint32_t index)
{
    return index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE ||
           (index >= MSR_FIRST && index <= MSR_LAST);
}

bool local_apic_read_msr(struct local_apic *apic, uint32_t index, uint64_t *value)
{
    uint32_t low = 0;
    *value = 0;
    if (index == MSR_APIC_BASE) {
        *value = apic->base;
        return true;
    }
    if (index == MSR_TSC_DEADLINE) {
        *value = local_apic_timer_get_tsc(apic);
        return true;
    }
    if (!local_apic_is_x2(apic) || !read_register(apic, index - MSR_FIRST, &low))
        return false;
    *value = index - MSR_FIRST == REGISTER_COMMAND ? apic->command : low;
    return true;
}

/* The bits that a write to an x2APIC's register may have: #GP for others, and for all if it is
 * read-only or none. */
static bool is_valid(uint32_t number, uint64_t value)
{
    if (is_entry(number))
        return !(value & ~(uint64_t)(entry_valid[number - REGISTER_ENTRIES] | STATUS | LVT_REMOTE));
    switch (number) {
    case REGISTER_TASK_PRIORITY:
    case REGISTER_SELF:
        return value <= 0xff;
    case REGISTER_END:
    case REGISTER_ERROR:
        return value == 0;
    case REGISTER_SPURIOUS:
        return value <= 0x3ff;
    case REGISTER_COMMAND:
        return !((uint32_t)value & ~(COMMAND_VALID | STATUS));
    case REGISTER_INITIAL:
        return value <= UINT32_MAX;
    case REGISTER_DIVIDE:
        return !(value & ~0xbull);
    default:
        return false;
    }
}

static bool write_x2_register(struct local_apic *apic, uint32_t number, uint64_t value)
{
    if (!local_apic_is_x2(apic) || !is_valid(number, value))
        return false;
    if (number == REGISTER_COMMAND) {
        apic->command = value & (0xffffffffull << 32 | COMMAND_VALID);
        send_command(apic);
    } else if (number == REGISTER_SELF) {
        if (value < VECTOR_FIRST)
            local_apic_set_error(apic, ERROR_SEND_VECTOR);
        else
            local_apic_accept(apic, (uint8_t)value, false);
    } else {
        return write_register(apic, number, (uint32_t)value);
    }
    return true;
}

bool local_apic_write_msr(struct local_apic *apic, uint32_t index, uint64_t value)
{
    if (index == MSR_APIC_BASE)
        return local_apic_set_base(apic, value);
    if (index != MSR_TSC_DEADLINE)
        return write_x2_register(apic, index - MSR_FIRST, value);
    local_apic_timer_set_tsc(apic, value);
    return true;
}
