/* vm/board/controllers: guests that write anything to IOAPIC, PICs, PIT and local APICs, devices
 * that set any line and send any message, and processors that take what comes of it. */
#include "vm/board/controllers.h"

#include <stdlib.h>

#include "vm/board/layout.h"
#include "vm_bytes.h"

#define VCPUS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void wake(void *context, unsigned vcpu)
{
    unsigned *woken = context;
    check(vcpu < VCPUS);
    *woken |= 1u << vcpu;
}

static uint64_t read_tsc(void *context, unsigned vcpu)
{
    (void)context, (void)vcpu;
    return 1ull << 40;
}

/* A processor takes what waits for it, of which it must have been told. */
static void take(struct controllers *controllers, unsigned vcpu, bool ends)
{
    unsigned events = controllers_pending(controllers, vcpu);
    uint8_t vector;
    if (events & EVENT_INIT) {
        check(controllers_take_init(controllers, vcpu) == (vcpu > 0));
        check(!(controllers_pending(controllers, vcpu) & EVENT_INIT));
    } else if (events & EVENT_STARTUP) {
        check(controllers_take_startup(controllers, vcpu, &vector));
    } else if (events & EVENT_NMI) {
        check(controllers_take_nmi(controllers, vcpu));
    } else if (events & EVENT_INTERRUPT) {
        int found = controllers_acknowledge(controllers, vcpu);
        check(found >= 0 && found < 256 && (found >= 16 || vcpu == 0));
        if (ends)
            controllers_write_apic(controllers, vcpu, 0xb0, 4, 0);
    } else {
        check(controllers_acknowledge(controllers, vcpu) == -1 ||
              controllers_is_stopped(controllers, vcpu));
    }
}

static void access_board(struct bus *ports, struct bus *registers, struct bytes *bytes,
                         bool is_write)
{
    static const uint16_t known[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,
                                     0x40, 0x41, 0x42, 0x43, 0x61};
    uint8_t which = (uint8_t)bytes_take(bytes, 1);
    unsigned size = 1u << (which >> 6);
    bool is_port = (which & 31) < sizeof known / sizeof *known;
    uint64_t address =
        is_port ? known[which & 31] : LAYOUT_IOAPIC + (bytes_take(bytes, 1) << (which & 4));
    if (is_write)
        bus_write(is_port ? ports : registers, address, size, bytes_take(bytes, 4));
    else
        bus_read(is_port ? ports : registers, address, size);
}

static void access_apic(struct controllers *controllers, struct bytes *bytes, uint8_t what)
{
    unsigned vcpu = what >> 3 & 3, size = what & 0x20 ? 4 : 1;
    uint32_t offset = (uint32_t)bytes_take(bytes, 1) << 4 | (what >> 6);
    uint64_t value = bytes_take(bytes, 8);
    if (vcpu >= VCPUS)
        return;
    switch (what & 7) {
    case 0:
        controllers_write_apic(controllers, vcpu, offset & 0xffc, 4, (uint32_t)value);
        break;
    case 1:
        check(controllers_read_apic(controllers, vcpu, offset, size) <= UINT32_MAX);
        break;
    case 2:
        controllers_write_msr(controllers, vcpu, 0x800 + (offset >> 4), value);
        break;
    case 3:
        controllers_read_msr(controllers, vcpu, 0x800 + (offset >> 4), &value);
        break;
    case 4:
        controllers_write_msr(controllers, vcpu, 0x1b, value << 8);
        break;
    default:
        controllers_set_cr8(controllers, vcpu, value & 15);
        check(controllers_get_cr8(controllers, vcpu) == (value & 15));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned woken = 0;
    const struct controllers_options options = {
        .vcpus = VCPUS, .wake = wake, .read_tsc = read_tsc, .context = &woken};
    struct controllers *controllers = controllers_create(&options);
    struct interrupts *interrupts = controllers_interrupts(controllers);
    struct bus ports = {0}, registers = {0};
    struct bytes bytes = {data, size};
    check(controllers_attach(controllers, &ports, &registers, NULL) == 0);
    while (bytes.left > 0) {
        uint8_t what = (uint8_t)bytes_take(&bytes, 1), more;
        unsigned before = 0;
        for (unsigned i = 0; i < VCPUS; i++)
            before |= (controllers_pending(controllers, i) != 0 ? 1u : 0) << i;
        woken = 0;
        switch (what >> 5) {
        case 0:
        case 1:
            access_board(&ports, &registers, &bytes, what & 1);
            break;
        case 2:
            interrupts_set_line(interrupts, what >> 1 & 31, what & 1);
            break;
        case 3:
            interrupts_send_message(interrupts, 0xfee00000 | bytes_take(&bytes, 3),
                                    (uint32_t)bytes_take(&bytes, 2));
            break;
        case 4:
            if ((what & 3) < VCPUS)
                take(controllers, what & 3, what & 4);
            break;
        default:
            more = (uint8_t)bytes_take(&bytes, 1);
            access_apic(controllers, &bytes, more);
        }
        /* Who had nothing to do and has something now was told. */
        for (unsigned i = 0; i < VCPUS; i++)
            check(controllers_pending(controllers, i) == 0 || (before >> i & 1) ||
                  (woken >> i & 1));
    }
    controllers_destroy(controllers);
    return 0;
}
