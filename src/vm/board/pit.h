/* The interval timer of a PC (Intel 8254), whose channel 0 interrupts, and port 61h with the gate
 * and output of channel 2, the speaker's. A state machine; who owns it has the lock (controllers.h)
 * and tells the time, in ns of guest time. */
#ifndef HULL_VM_PIT_H
#define HULL_VM_PIT_H

#include <stdbool.h>
#include <stdint.h>

#define PIT_PORT 0x40 /* a port for each channel, and one for commands */
#define PIT_SPEAKER_PORT 0x61
#define PIT_FREQUENCY 1193182ull /* Hz */
#define PIT_NO_DEADLINE UINT64_MAX

struct pit_channel {
    uint8_t mode, access; /* access: 1 low byte, 2 high byte, 3 both */
    bool is_decimal, gate;
    uint32_t count;       /* 1 to 65536; decimal: to 10000 */
    bool is_counting;     /* count was written since the mode was */
    uint64_t start;       /* ns at which it began to count down from count */
    uint64_t held;        /* ticks that it had counted when the gate was shut */
    uint64_t expirations; /* of which the interrupt has been told */
    uint8_t written_low;
    bool has_written_low, reads_high;
    bool count_is_latched, status_is_latched;
    uint16_t latched_count;
    uint8_t latched_status;
};

struct pit {
    struct pit_channel channels[3];
    bool speaker; /* bit 1 of port 61h */
};

/* As after power-on: nothing counts. */
void pit_initialize(struct pit *pit);
/* Port is one of the five. */
uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now);
void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now);
/* When channel 0 interrupts next. */
uint64_t pit_deadline(const struct pit *pit);
/* Whether it has interrupted since the last call; what was missed is one. */
bool pit_expire(struct pit *pit, uint64_t now);

#endif
