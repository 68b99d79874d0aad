#include "vm/board/pit.h"

enum { COMMAND = PIT_PORT + 3 };

#define NANOSECONDS 1000000000ull
/* A periodic channel interrupts at most this often, in ns; what comes more often is merged. */
#define PERIOD_SHORTEST 20000

#define SPEAKER_GATE 1
#define SPEAKER_DATA 2
#define SPEAKER_REFRESH 0x10 /* changes with each refresh of memory on an old PC */
#define SPEAKER_OUTPUT 0x20

void pit_initialize(struct pit *pit)
{
    *pit = (struct pit){.channels = {{.gate = true}, {.gate = true}, {.gate = false}}};
    for (unsigned i = 0; i < 3; i++)
        pit->channels[i].access = 3;
}

/* Both without overflow in a century. */
static uint64_t ticks_of(uint64_t ns)
{
    return ns / NANOSECONDS * PIT_FREQUENCY + ns % NANOSECONDS * PIT_FREQUENCY / NANOSECONDS;
}

static uint64_t ns_of(uint64_t ticks)
{
    return ticks / PIT_FREQUENCY * NANOSECONDS +
           (ticks % PIT_FREQUENCY * NANOSECONDS + PIT_FREQUENCY - 1) / PIT_FREQUENCY;
}

static bool is_periodic(const struct pit_channel *channel)
{
    return channel->mode == 2 || channel->mode == 3;
}

/* Modes in which a low gate stops the count; in 1 and 5 its edge starts it. */
static bool stops_without_gate(const struct pit_channel *channel)
{
    return channel->mode != 1 && channel->mode != 5;
}

static uint64_t elapsed(const struct pit_channel *channel, uint64_t now)
{
    if (!channel->gate && stops_without_gate(channel))
        return channel->held;
    return channel->is_counting && now > channel->start ? ticks_of(now - channel->start) : 0;
}

static uint16_t to_decimal(uint64_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

/* The counting element: what a read or a latch sees. */
static uint16_t current(const struct pit_channel *channel, uint64_t now)
{
    uint64_t ticks = elapsed(channel, now), left, round = channel->is_decimal ? 10000 : 0x10000;
    if (!channel->is_counting)
        return 0;
    if (channel->mode == 3) /* by two, twice in each period */
        left = channel->count - ticks * 2 % channel->count;
    else if (is_periodic(channel))
        left = channel->count - ticks % channel->count;
    else
        left = (channel->count + round - ticks % round) % round; /* goes on below zero */
    left %= round;
    return channel->is_decimal ? to_decimal(left) : (uint16_t)left;
}

static bool output(const struct pit_channel *channel, uint64_t now)
{
    uint64_t ticks = elapsed(channel, now), count = channel->count;
    if (!channel->is_counting)
        return channel->mode != 0;
    switch (channel->mode) {
    case 0:
    case 1:
        return ticks >= count;
    case 2: /* low for the last tick */
        return !channel->gate || ticks % count != count - 1;
    case 3: /* high for the first half */
        return !channel->gate || ticks % count < (count + 1) / 2;
    default: /* low for one tick */
        return ticks != count;
    }
}

static void start(struct pit_channel *channel, uint64_t now)
{
    channel->start = now;
    channel->held = channel->expirations = 0;
    channel->is_counting = true;
}

/* A new count begins at once, also where a period of the old one isn't over yet. */
static void load(struct pit_channel *channel, uint16_t value, uint64_t now)
{
    uint32_t count = value;
    if (channel->is_decimal) {
        count = 0;
        for (int shift = 12; shift >= 0; shift -= 4)
            count = count * 10 + (value >> shift & 15);
        count %= 10000; /* digits above 9 are nothing that is documented */
    }
    channel->count = count ? count : channel->is_decimal ? 10000 : 0x10000;
    if (is_periodic(channel) && channel->count < 2)
        channel->count = 2;
    if (stops_without_gate(channel))
        start(channel, now);
}

static void write_count(struct pit_channel *channel, uint8_t value, uint64_t now)
{
    if (channel->access == 1) {
        load(channel, value, now);
    } else if (channel->access == 2) {
        load(channel, (uint16_t)(value << 8), now);
    } else if (!channel->has_written_low) {
        channel->written_low = value;
        channel->has_written_low = true;
        if (channel->mode == 0)
            channel->is_counting = false; /* the first byte stops it */
    } else {
        channel->has_written_low = false;
        load(channel, (uint16_t)(value << 8 | channel->written_low), now);
    }
}

static uint8_t read_count(struct pit_channel *channel, uint64_t now)
{
    if (channel->status_is_latched) {
        channel->status_is_latched = false;
        return channel->latched_status;
    }
    uint16_t count = channel->count_is_latched ? channel->latched_count : current(channel, now);
    bool is_high = channel->access == 2 || (channel->access == 3 && channel->reads_high);
    if (channel->access == 3)
        channel->reads_high = !channel->reads_high;
    if (channel->access != 3 || is_high)
        channel->count_is_latched = false;
    return (uint8_t)(is_high ? count >> 8 : count);
}

static void latch_count(struct pit_channel *channel, uint64_t now)
{
    if (channel->count_is_latched)
        return;
    channel->latched_count = current(channel, now);
    channel->count_is_latched = true;
}

static void latch_status(struct pit_channel *channel, uint64_t now)
{
    if (channel->status_is_latched)
        return;
    channel->latched_status =
        (uint8_t)(output(channel, now) << 7 | !channel->is_counting << 6 | channel->access << 4 |
                  channel->mode << 1 | channel->is_decimal);
    channel->status_is_latched = true;
}

static void write_command(struct pit *pit, uint8_t value, uint64_t now)
{
    unsigned number = value >> 6;
    if (number == 3) { /* read back; its bits are negated */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                latch_count(&pit->channels[i], now);
            if (!(value & 0x10))
                latch_status(&pit->channels[i], now);
        }
        return;
    }
    struct pit_channel *channel = &pit->channels[number];
    if ((value >> 4 & 3) == 0) {
        latch_count(channel, now);
        return;
    }
    uint8_t mode = value >> 1 & 7;
    *channel = (struct pit_channel){.mode = mode > 5 ? mode - 4 : mode,
                                    .access = value >> 4 & 3,
                                    .is_decimal = value & 1,
                                    .gate = channel->gate};
}

/* The gate of channel 2: it holds the count of modes 0 and 4; in the others, its opening starts it
 * anew. */
static void set_gate(struct pit_channel *channel, bool gate, uint64_t now)
{
    if (gate == channel->gate)
        return;
    uint64_t ticks = elapsed(channel, now);
    channel->gate = gate;
    if (!gate)
        channel->held = ticks;
    else if ((channel->mode == 0 || channel->mode == 4) && now > ns_of(ticks))
        channel->start = now - ns_of(ticks);
    else if (channel->count)
        start(channel, now);
}

static void write_speaker(struct pit *pit, uint8_t value, uint64_t now)
{
    set_gate(&pit->channels[2], value & SPEAKER_GATE, now);
    pit->speaker = value & SPEAKER_DATA;
}

uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now)
{
    if (port == COMMAND)
        return 0xff;
    if (port < COMMAND)
        return read_count(&pit->channels[port - PIT_PORT], now);
    return (uint8_t)((pit->channels[2].gate ? SPEAKER_GATE : 0) |
                     (pit->speaker ? SPEAKER_DATA : 0) | (now / 15085 % 2 ? SPEAKER_REFRESH : 0) |
                     (output(&pit->channels[2], now) ? SPEAKER_OUTPUT : 0));
}

void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now)
{
    if (port == COMMAND)
        write_command(pit, value, now);
    else if (port < COMMAND)
        write_count(&pit->channels[port - PIT_PORT], value, now);
    else
        write_speaker(pit, value, now);
}

/* Modes 0 to 5 all raise the output when the count has gone by, or a tick later. */
uint64_t pit_deadline(const struct pit *pit)
{
    const struct pit_channel *channel = &pit->channels[0];
    if (!channel->is_counting || (!is_periodic(channel) && channel->expirations > 0))
        return PIT_NO_DEADLINE;
    uint64_t period = ns_of(channel->count), periods = 1;
    if (channel->expirations > 0 && period < PERIOD_SHORTEST)
        periods = PERIOD_SHORTEST / period;
    return channel->start + ns_of((channel->expirations + periods) * channel->count);
}

bool pit_expire(struct pit *pit, uint64_t now)
{
    struct pit_channel *channel = &pit->channels[0];
    if (now < pit_deadline(pit))
        return false;
    channel->expirations = elapsed(channel, now) / channel->count;
    return true;
}
