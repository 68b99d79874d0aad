/* vm/board/local_apic and vm/board/pit: timers that a guest sets in any way, in a time that the
 * bytes tell. */
#include <stdbool.h>
#include <stdlib.h>

#include "vm/board/local_apic.h"
#include "vm/board/pit.h"
#include "vm_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t time_now, tsc_now;

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void send(struct local_apic *apic, const struct interrupt_message *message)
{
    (void)apic, (void)message;
}

static void end_level(struct local_apic *apic, uint8_t vector)
{
    (void)apic, (void)vector;
}

static void raise_event(struct local_apic *apic, enum interrupt_delivery delivery)
{
    (void)apic, (void)delivery;
}

static uint64_t now(const struct local_apic *apic)
{
    (void)apic;
    return time_now;
}

static uint64_t read_tsc(const struct local_apic *apic)
{
    (void)apic;
    return tsc_now;
}

static const struct local_apic_operations operations = {send, end_level, raise_event, now,
                                                        read_tsc};

/* After it was run no timer's time has come already: it would keep the host busy. */
static void run(struct local_apic *apic, struct pit *pit)
{
    local_apic_run_timer(apic);
    check(local_apic_deadline(apic) > time_now);
    pit_expire(pit, time_now);
    check(pit_deadline(pit) > time_now);
}

static void write_apic(struct local_apic *apic, struct bytes *bytes, uint8_t what)
{
    static const uint32_t registers[] = {0x320, 0x380, 0x3e0, 0xf0};
    uint64_t value = bytes_take(bytes, 4);
    if (what & 4)
        local_apic_write_msr(apic, 0x6e0, tsc_now + value - 1000);
    else
        local_apic_write(apic, registers[what & 3], 4, (uint32_t)value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct local_apic apic = {.operations = &operations, .tsc_frequency = 3 * 1000000000ull};
    struct pit pit;
    struct bytes bytes = {data, size};
    time_now = tsc_now = 1ull << 40;
    local_apic_initialize(&apic);
    local_apic_write(&apic, 0xf0, 4, 0x1ff);
    pit_initialize(&pit);
    while (bytes.left > 0) {
        uint8_t what = (uint8_t)bytes_take(&bytes, 1);
        uint64_t passed;
        switch (what >> 6) {
        case 0:
            passed = bytes_take(&bytes, 1 + (what & 3));
            time_now += passed;
            tsc_now += passed * 3 - passed / 1000 * (what >> 2 & 1); /* it may be slower */
            run(&apic, &pit);
            break;
        case 1:
            write_apic(&apic, &bytes, what);
            break;
        case 2:
            pit_write(&pit, (uint16_t)((what & 7) == 4 ? PIT_SPEAKER_PORT : PIT_PORT + (what & 3)),
                      (uint8_t)bytes_take(&bytes, 1), time_now);
            break;
        default:
            check(local_apic_read(&apic, 0x390, 4) <= local_apic_read(&apic, 0x380, 4));
            pit_read(&pit, (uint16_t)((what & 7) == 4 ? PIT_SPEAKER_PORT : PIT_PORT + (what & 3)),
                     time_now);
        }
        if (local_apic_acknowledge(&apic) >= 0)
            local_apic_write(&apic, 0xb0, 4, 0);
    }
    return 0;
}
