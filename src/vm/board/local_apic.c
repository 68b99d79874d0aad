/* Interrupts in a local APIC: from being accepted (IRR) to being in service (ISR) to their end. */
#include "vm/board/local_apic.h"

#include <string.h>

#include "vm/board/layout.h"
#include "vm/board/local_apic_internal.h"

#define BASE_VALID (APIC_BASE_BOOT | APIC_BASE_X2 | APIC_BASE_ENABLE | APIC_BASE_ADDRESS)
#define FORMAT_FLAT 0xfu /* DFR's highest bits; 0 is the cluster model */

static void set_bit(uint32_t bits[8], uint8_t vector)
{
    bits[vector / 32] |= 1u << vector % 32;
}

static void clear_bit(uint32_t bits[8], uint8_t vector)
{
    bits[vector / 32] &= ~(1u << vector % 32);
}

static bool has_bit(const uint32_t bits[8], uint8_t vector)
{
    return bits[vector / 32] >> vector % 32 & 1;
}

int local_apic_highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--) {
        if (bits[i])
            return 32 * i + 31 - __builtin_clz(bits[i]);
    }
    return -1;
}

/* ---- Its states: 11.4.7 ---- */

void local_apic_reset(struct local_apic *apic)
{
    apic->task_priority = 0;
    apic->logical_id = 0;
    apic->destination_format = UINT32_MAX;
    apic->spurious = 0xff;
    memset(apic->in_service, 0, sizeof apic->in_service);
    memset(apic->requested, 0, sizeof apic->requested);
    memset(apic->level_triggered, 0, sizeof apic->level_triggered);
    apic->error = apic->error_collected = 0;
    apic->command = 0;
    for (unsigned i = 0; i < LVT_ENTRIES; i++)
        apic->entries[i] = LVT_MASKED;
    local_apic_timer_reset(apic);
}

void local_apic_initialize(struct local_apic *apic)
{
    apic->base = LAYOUT_LOCAL_APIC | APIC_BASE_ENABLE | (apic->id == 0 ? APIC_BASE_BOOT : 0);
    apic->short_id = (uint8_t)apic->id;
    apic->line_levels[0] = apic->line_levels[1] = false;
    local_apic_reset(apic);
    if (apic->id == 0) /* the "virtual wire" of the MultiProcessor Specification, 3.6.2.2 */
        apic->entries[LVT_LINT0] = DELIVERY_EXTERNAL << 8;
}

/* 11.12.5: an x2APIC can only be switched off, and what is off becomes an xAPIC first. */
bool local_apic_set_base(struct local_apic *apic, uint64_t base)
{
    const uint64_t mode = APIC_BASE_ENABLE | APIC_BASE_X2;
    uint64_t from = apic->base & mode, to = base & mode;
    if ((base & ~BASE_VALID) || to == APIC_BASE_X2 || (from == 0 && to == mode) ||
        (from == mode && to == APIC_BASE_ENABLE))
        return false;
    apic->base = (base & ~APIC_BASE_BOOT) | (apic->base & APIC_BASE_BOOT);
    if (from && !to) {
        local_apic_reset(apic);
        apic->short_id = (uint8_t)apic->id;
    }
    return true;
}

/* ---- Destinations: 11.6.2, 11.12.9, 11.12.10 ---- */

uint32_t local_apic_logical_id(const struct local_apic *apic)
{
    return local_apic_is_x2(apic) ? (apic->id >> 4) << 16 | 1u << (apic->id & 15)
                                  : apic->logical_id;
}

static bool is_in_logical_set(const struct local_apic *apic, uint32_t destination)
{
    uint32_t id = local_apic_logical_id(apic);
    if (local_apic_is_x2(apic))
        return destination >> 16 == id >> 16 && (destination & id & 0xffff);
    if (destination > 0xff)
        return false;
    id >>= 24;
    if (apic->destination_format >> 28 == FORMAT_FLAT)
        return destination & id;
    return destination >> 4 == id >> 4 && (destination & id & 15);
}

bool local_apic_is_addressed(const struct local_apic *apic, const struct interrupt_message *message)
{
    uint32_t everyone = message->is_wide ? UINT32_MAX : 0xff;
    if (!local_apic_is_enabled(apic))
        return false;
    if (message->destination == everyone)
        return true;
    return message->is_logical
               ? is_in_logical_set(apic, message->destination)
               : message->destination == (local_apic_is_x2(apic) ? apic->id : apic->short_id);
}

/* ---- Requests: 11.8 ---- */

void local_apic_set_error(struct local_apic *apic, uint32_t bit)
{
    if (apic->error_collected & bit)
        return;
    apic->error_collected |= bit;
    local_apic_raise(apic, LVT_ERROR);
}

bool local_apic_accept(struct local_apic *apic, uint8_t vector, bool is_level)
{
    if (!local_apic_is_open(apic))
        return false;
    if (vector < VECTOR_FIRST) {
        local_apic_set_error(apic, ERROR_RECEIVE_VECTOR);
        return false;
    }
    (is_level ? set_bit : clear_bit)(apic->level_triggered, vector);
    set_bit(apic->requested, vector);
    return true;
}

uint8_t local_apic_priority(const struct local_apic *apic)
{
    int highest = local_apic_highest(apic->in_service);
    unsigned serving = highest < 0 ? 0 : (unsigned)highest & 0xf0;
    return (apic->task_priority & 0xf0u) >= serving ? apic->task_priority : (uint8_t)serving;
}

int local_apic_pending(const struct local_apic *apic)
{
    int vector = local_apic_highest(apic->requested);
    return vector >= 0 && local_apic_is_enabled(apic) &&
                   vector >> 4 > local_apic_priority(apic) >> 4
               ? vector
               : -1;
}

int local_apic_acknowledge(struct local_apic *apic)
{
    int vector = local_apic_pending(apic);
    if (vector >= 0) {
        clear_bit(apic->requested, (uint8_t)vector);
        set_bit(apic->in_service, (uint8_t)vector);
    }
    return vector;
}

/* A level that a LINT pin still has comes again. */
static void end_line(struct local_apic *apic, unsigned line, uint8_t vector)
{
    uint32_t *entry = &apic->entries[LVT_LINT0 + line];
    if (!(*entry & LVT_REMOTE) || (uint8_t)*entry != vector)
        return;
    *entry &= ~LVT_REMOTE;
    if (apic->line_levels[line])
        local_apic_raise(apic, LVT_LINT0 + line);
}

void local_apic_end_interrupt(struct local_apic *apic)
{
    int highest = local_apic_highest(apic->in_service);
    if (highest < 0)
        return;
    uint8_t vector = (uint8_t)highest;
    clear_bit(apic->in_service, vector);
    if (!has_bit(apic->level_triggered, vector))
        return;
    end_line(apic, 0, vector);
    end_line(apic, 1, vector);
    apic->operations->end_level(apic, vector);
}

/* ---- Local interrupts: 11.5.1 ---- */

void local_apic_raise(struct local_apic *apic, enum local_apic_entry entry)
{
    uint32_t value = apic->entries[entry];
    bool is_line = entry == LVT_LINT0 || entry == LVT_LINT1;
    bool is_fixed = entry == LVT_TIMER || entry == LVT_ERROR;
    enum interrupt_delivery delivery = is_fixed ? DELIVERY_FIXED : value >> 8 & 7;
    if ((value & LVT_MASKED) || !local_apic_is_enabled(apic))
        return;
    if (delivery == DELIVERY_NMI || delivery == DELIVERY_INIT) {
        apic->operations->raise(apic, delivery);
    } else if (delivery == DELIVERY_FIXED) {
        bool is_level = is_line && (value & LVT_LEVEL);
        if (is_level && (value & LVT_REMOTE))
            return;
        if (local_apic_accept(apic, (uint8_t)value, is_level) && is_level)
            apic->entries[entry] |= LVT_REMOTE;
    }
}

void local_apic_set_line(struct local_apic *apic, unsigned line, bool level)
{
    bool was = apic->line_levels[line];
    apic->line_levels[line] = level;
    if (level && !was)
        local_apic_raise(apic, LVT_LINT0 + line);
}

bool local_apic_passes_external(const struct local_apic *apic)
{
    uint32_t entry = apic->entries[LVT_LINT0];
    return !local_apic_is_enabled(apic) ||
           (!(entry & LVT_MASKED) && (entry >> 8 & 7) == DELIVERY_EXTERNAL);
}
