#include "vm/board/ioapic.h"

/* Memory-mapped registers (3.1): an index and a window onto what it selects, and the EOI. */
enum { SELECT = 0x00, WINDOW = 0x10, END = 0x40 };
/* What can be selected (3.2). */
enum { ID = 0, VERSION = 1, ARBITRATION = 2, ENTRIES = 0x10 };

/* An entry of the redirection table (3.2.4). */
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_REMOTE (1ull << 14) /* a level that was delivered and whose handler hasn't ended */
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_VALID 0xff0000000001afffull

void ioapic_initialize(struct ioapic *ioapic)
{
    ioapic->id = ioapic->selected = 0;
    ioapic->levels = 0;
    for (unsigned i = 0; i < LAYOUT_IRQ_LINES; i++)
        ioapic->entries[i] = ENTRY_MASKED;
}

static void deliver(struct ioapic *ioapic, unsigned line)
{
    uint64_t *entry = &ioapic->entries[line];
    const struct interrupt_message message = {.destination = (uint32_t)(*entry >> 56),
                                              .is_logical = *entry & ENTRY_LOGICAL,
                                              .delivery = *entry >> 8 & 7,
                                              .vector = (uint8_t)*entry,
                                              .is_level = *entry & ENTRY_LEVEL};
    if ((*entry & ENTRY_MASKED) || (message.is_level && (*entry & ENTRY_REMOTE)))
        return;
    if (ioapic->operations->send(ioapic, &message) && message.is_level)
        *entry |= ENTRY_REMOTE;
}

/* A level that lasts comes again when the handler has ended or the mask goes. */
static void deliver_level(struct ioapic *ioapic, unsigned line)
{
    if ((ioapic->entries[line] & ENTRY_LEVEL) && (ioapic->levels >> line & 1))
        deliver(ioapic, line);
}

/* Which polarity the table says doesn't matter: who sets a line says whether it is active. An edge
 * that comes while the line is masked is lost (3.2.4). */
void ioapic_set_line(struct ioapic *ioapic, unsigned line, bool level)
{
    if (line >= LAYOUT_IRQ_LINES)
        return;
    bool was = ioapic->levels >> line & 1;
    ioapic->levels = (ioapic->levels & ~(1u << line)) | (uint32_t)level << line;
    if (level && !was)
        deliver(ioapic, line);
}

void ioapic_end_interrupt(struct ioapic *ioapic, uint8_t vector)
{
    for (unsigned i = 0; i < LAYOUT_IRQ_LINES; i++) {
        if (!(ioapic->entries[i] & ENTRY_REMOTE) || (uint8_t)ioapic->entries[i] != vector)
            continue;
        ioapic->entries[i] &= ~ENTRY_REMOTE;
        deliver_level(ioapic, i);
    }
}

static uint32_t read_selected(const struct ioapic *ioapic)
{
    unsigned entry = (ioapic->selected - ENTRIES) / 2u;
    switch (ioapic->selected) {
    case ID:
    case ARBITRATION:
        return (uint32_t)ioapic->id << 24;
    case VERSION:
        return 0x20 | (LAYOUT_IRQ_LINES - 1) << 16;
    default:
        if (ioapic->selected < ENTRIES || entry >= LAYOUT_IRQ_LINES)
            return 0;
        return (uint32_t)(ioapic->entries[entry] >> (ioapic->selected % 2 ? 32 : 0));
    }
}

/* Kernels also end an interrupt by making its line edge-triggered for a moment: that clears the
 * remote bit. */
static void write_entry(struct ioapic *ioapic, unsigned line, bool is_high, uint32_t value)
{
    uint64_t *entry = &ioapic->entries[line];
    uint64_t written = is_high ? (*entry & UINT32_MAX) | (uint64_t)value << 32
                               : (*entry & ~(uint64_t)UINT32_MAX) | value;
    *entry = (written & ENTRY_VALID) | (*entry & ENTRY_REMOTE);
    if (!(*entry & ENTRY_LEVEL))
        *entry &= ~ENTRY_REMOTE;
    deliver_level(ioapic, line);
}

static void write_selected(struct ioapic *ioapic, uint32_t value)
{
    unsigned entry = (ioapic->selected - ENTRIES) / 2u;
    if (ioapic->selected == ID)
        ioapic->id = value >> 24 & 15;
    else if (ioapic->selected >= ENTRIES && entry < LAYOUT_IRQ_LINES)
        write_entry(ioapic, entry, ioapic->selected % 2, value);
}

uint32_t ioapic_read(struct ioapic *ioapic, uint32_t offset)
{
    if (offset == SELECT)
        return ioapic->selected;
    return offset == WINDOW ? read_selected(ioapic) : 0;
}

void ioapic_write(struct ioapic *ioapic, uint32_t offset, uint32_t value)
{
    if (offset == SELECT)
        ioapic->selected = (uint8_t)value;
    else if (offset == WINDOW)
        write_selected(ioapic, value);
    else if (offset == END)
        ioapic_end_interrupt(ioapic, (uint8_t)value);
}
