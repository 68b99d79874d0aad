/* The runtime's own accesses to the guest's memory, and to devices' registers. */
#include "vm/cpu/bt/bt_internal.h"

#include "vm/board/controllers.h"

/* An access that is no power of two comes to a device in bytes. */
static unsigned step_of(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8 ? size : 1;
}

static bool is_apic(struct bt_vcpu *vcpu, uint64_t physical)
{
    return (physical & ~GUEST_PAGE_MASK) ==
           controllers_apic_page(vcpu->engine->engine.controllers, vcpu->vcpu.index);
}

void bt_read_device(struct bt_vcpu *vcpu, uint64_t physical, void *bytes, unsigned size)
{
    struct engine_board *board = vcpu->vcpu.engine->board;
    bt_park_vectors(vcpu);
    for (unsigned done = 0, step = step_of(size); done < size; done += step) {
        uint64_t value;
        if (is_apic(vcpu, physical))
            value = controllers_read_apic(vcpu->engine->engine.controllers, vcpu->vcpu.index,
                                          (uint32_t)((physical + done) & GUEST_PAGE_MASK), step);
        else
            value = board->read(board, ENGINE_MEMORY, physical + done, step);
        bt_copy((uint8_t *)bytes + done, &value, step);
    }
}

void bt_write_device(struct bt_vcpu *vcpu, uint64_t physical, const void *bytes, unsigned size)
{
    struct engine_board *board = vcpu->vcpu.engine->board;
    bt_park_vectors(vcpu);
    for (unsigned done = 0, step = step_of(size); done < size; done += step) {
        uint64_t value = 0;
        bt_copy(&value, (const uint8_t *)bytes + done, step);
        if (is_apic(vcpu, physical)) {
            bt_look_again(vcpu);
            controllers_write_apic(vcpu->engine->engine.controllers, vcpu->vcpu.index,
                                   (uint32_t)((physical + done) & GUEST_PAGE_MASK), step,
                                   (uint32_t)value);
        } else {
            board->write(board, ENGINE_MEMORY, physical + done, step, value);
        }
    }
}

bool bt_port(struct bt_vcpu *vcpu, bool is_write, uint16_t port, unsigned size, uint64_t *value)
{
    struct engine_board *board = vcpu->vcpu.engine->board;
    bt_park_vectors(vcpu);
    if (is_write)
        board->write(board, ENGINE_PORT, port, size, *value);
    else
        *value = board->read(board, ENGINE_PORT, port, size);
    return true;
}

bool bt_span(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, uint8_t **host, uint64_t *size)
{
    uint64_t physical, room = GUEST_PAGE_MASK + 1 - (linear & GUEST_PAGE_MASK);
    bool is_kernel = vcpu->level != 3;
    if (is_kernel || !(access & BT_SYSTEM)) { /* what translated code may do, too */
        unsigned index = linear >> GUEST_PAGE_BITS & (TLB_ENTRIES - 1);
        const struct tlb_entry *entry =
            &vcpu->state->tlb[is_kernel ? VIEW_KERNEL : VIEW_USER][index];
        if ((access & BT_WRITE ? entry->write : entry->read) ==
            linear - (linear & GUEST_PAGE_MASK)) {
            *size = *size < room ? *size : room;
            *host = (uint8_t *)(uintptr_t)entry->host + (linear & GUEST_PAGE_MASK);
            return true;
        }
    }
    if (!bt_walk(vcpu, linear, access, &physical))
        return false;
    *size = *size < room ? *size : room;
    *host = bt_host_page(vcpu->engine, physical, access & BT_WRITE);
    if (*host && (access & BT_WRITE) && cache_has_page(&vcpu->engine->cache, physical))
        cache_invalidate_page(&vcpu->engine->cache, physical);
    if (*host)
        *host += linear & GUEST_PAGE_MASK;
    return true;
}

static uint64_t wrap(const struct bt_vcpu *vcpu, uint64_t linear)
{
    return bt_is_long(vcpu) ? linear : (uint32_t)linear;
}

bool bt_read(struct bt_vcpu *vcpu, uint64_t linear, void *bytes, unsigned size, unsigned access)
{
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = size - done, physical;
        uint64_t at = wrap(vcpu, linear + done);
        uint8_t *host;
        if (!bt_span(vcpu, at, BT_READ | access, &host, &piece))
            return false;
        if (host)
            bt_copy((uint8_t *)bytes + done, host, piece);
        else if (bt_walk(vcpu, at, BT_READ | access, &physical))
            bt_read_device(vcpu, physical, (uint8_t *)bytes + done, (unsigned)piece);
        done += piece;
    }
    return true;
}

/* All pages are walked before the first byte is written. */
bool bt_write(struct bt_vcpu *vcpu, uint64_t linear, const void *bytes, unsigned size,
              unsigned access)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t done = 0; done < size;) {
            uint64_t piece = size - done, physical;
            uint64_t at = wrap(vcpu, linear + done);
            uint8_t *host;
            if (!bt_span(vcpu, at, BT_WRITE | access, &host, &piece))
                return false;
            if (pass == 1 && host)
                bt_copy(host, (const uint8_t *)bytes + done, piece);
            else if (pass == 1 && bt_walk(vcpu, at, BT_WRITE | access, &physical))
                bt_write_device(vcpu, physical, (const uint8_t *)bytes + done, (unsigned)piece);
            done += piece;
        }
    }
    return true;
}

bool bt_read_value(struct bt_vcpu *vcpu, uint64_t linear, uint64_t *value, unsigned size)
{
    *value = 0;
    return bt_read(vcpu, linear, value, size, 0);
}

bool bt_write_value(struct bt_vcpu *vcpu, uint64_t linear, uint64_t value, unsigned size)
{
    return bt_write(vcpu, linear, &value, size, 0);
}
