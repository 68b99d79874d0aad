/* The guest's ways to the controllers: ports and registers of the board, and of the local APIC. */
#include "vm/board/controllers_internal.h"
#include "vm/board/layout.h"

/* ---- The board's: with its lock ---- */

static uint8_t read_port(struct controllers *controllers, uint16_t port)
{
    if (port >= PIT_PORT && port <= PIT_SPEAKER_PORT)
        return pit_read(&controllers->pit, port, controllers_now(controllers));
    uint8_t value = pic_read(&controllers->pic, port);
    controllers_update_pic(controllers);
    return value;
}

static void write_port(struct controllers *controllers, uint16_t port, uint8_t value)
{
    if (port >= PIT_PORT && port <= PIT_SPEAKER_PORT) {
        pit_write(&controllers->pit, port, value, controllers_now(controllers));
        controllers->hurried |= 1; /* whose alarm it is */
    } else {
        pic_write(&controllers->pic, port, value);
        controllers_update_pic(controllers);
    }
}

/* Accesses of more than a byte are to ports one behind the other. */
static uint64_t read_ports(void *device, uint64_t offset, unsigned size)
{
    const struct controllers_ports *ports = device;
    uint64_t value = 0;
    controllers_acquire(ports->controllers);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_port(ports->controllers, (uint16_t)(ports->first + offset + i))
                 << 8 * i;
    controllers_release(ports->controllers);
    return value;
}

static void write_ports(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct controllers_ports *ports = device;
    controllers_acquire(ports->controllers);
    for (unsigned i = 0; i < size; i++)
        write_port(ports->controllers, (uint16_t)(ports->first + offset + i),
                   (uint8_t)(value >> 8 * i));
    controllers_release(ports->controllers);
}

static const struct bus_operations port_operations = {read_ports, write_ports};

static uint64_t read_ioapic(void *device, uint64_t offset, unsigned size)
{
    struct controllers *controllers = device;
    (void)size;
    controllers_acquire(controllers);
    uint32_t value = ioapic_read(&controllers->ioapic, (uint32_t)offset);
    controllers_release(controllers);
    return value;
}

static void write_ioapic(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct controllers *controllers = device;
    (void)size;
    controllers_acquire(controllers);
    ioapic_write(&controllers->ioapic, (uint32_t)offset, (uint32_t)value);
    controllers_release(controllers);
}

static const struct bus_operations ioapic_operations = {read_ioapic, write_ioapic};

int controllers_attach(struct controllers *controllers, struct bus *ports, struct bus *registers,
                       struct error *err)
{
    static const struct {
        uint16_t first, count;
    } ranges[] = {
        {PIC_FIRST, 2}, {PIC_SECOND, 2}, {PIC_TRIGGER, 2}, {PIT_PORT, 4}, {PIT_SPEAKER_PORT, 1}};
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        controllers->ports[i] = (struct controllers_ports){controllers, ranges[i].first};
        if (bus_add(ports, ranges[i].first, ranges[i].count, &port_operations,
                    &controllers->ports[i], err) < 0)
            return -1;
    }
    return bus_add(registers, LAYOUT_IOAPIC, IOAPIC_SIZE, &ioapic_operations, controllers, err);
}

/* ---- The local APIC's ---- */

uint64_t controllers_apic_page(const struct controllers *controllers, unsigned vcpu)
{
    const struct local_apic *apic = &controllers->vcpus[vcpu].apic;
    return local_apic_is_enabled(apic) && !local_apic_is_x2(apic) ? apic->base & APIC_BASE_ADDRESS
                                                                  : UINT64_MAX;
}

uint64_t controllers_read_apic(struct controllers *controllers, unsigned vcpu, uint32_t offset,
                               unsigned size)
{
    controllers_acquire(controllers);
    uint64_t value = local_apic_read(&controllers->vcpus[vcpu].apic, offset, size);
    controllers_touch(controllers, vcpu); /* it may have been an error, which interrupts */
    controllers_release(controllers);
    return value;
}

void controllers_write_apic(struct controllers *controllers, unsigned vcpu, uint32_t offset,
                            unsigned size, uint32_t value)
{
    controllers_acquire(controllers);
    local_apic_write(&controllers->vcpus[vcpu].apic, offset, size, value);
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
}

bool controllers_is_msr(uint32_t index)
{
    return local_apic_is_msr(index);
}

bool controllers_read_msr(struct controllers *controllers, unsigned vcpu, uint32_t index,
                          uint64_t *value)
{
    controllers_acquire(controllers);
    bool is_valid = local_apic_read_msr(&controllers->vcpus[vcpu].apic, index, value);
    controllers_release(controllers);
    return is_valid;
}

bool controllers_write_msr(struct controllers *controllers, unsigned vcpu, uint32_t index,
                           uint64_t value)
{
    controllers_acquire(controllers);
    bool is_valid = local_apic_write_msr(&controllers->vcpus[vcpu].apic, index, value);
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
    return is_valid;
}

uint8_t controllers_get_cr8(const struct controllers *controllers, unsigned vcpu)
{
    return controllers->vcpus[vcpu].apic.task_priority >> 4;
}

void controllers_set_cr8(struct controllers *controllers, unsigned vcpu, uint8_t cr8)
{
    controllers_acquire(controllers);
    controllers->vcpus[vcpu].apic.task_priority = (uint8_t)(cr8 << 4);
    controllers_touch(controllers, vcpu);
    controllers_release(controllers);
}
