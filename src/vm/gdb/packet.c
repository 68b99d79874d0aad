#include "vm/gdb/packet.h"

#include <string.h>

#include "vm/gdb/hex.h"

#define INTERRUPT 0x03
#define ESCAPE '}'
#define ESCAPED_BITS 0x20

static bool put(struct gdb_packets *packets, const char *bytes, size_t length)
{
    if (length > sizeof packets->output - packets->output_length)
        return false;
    memcpy(packets->output + packets->output_length, bytes, length);
    packets->output_length += length;
    return true;
}

static void begin(struct gdb_packets *packets)
{
    packets->state = GDB_INSIDE;
    packets->length = 0;
    packets->sum = 0;
    packets->is_bad = false;
}

static void add(struct gdb_packets *packets, uint8_t byte)
{
    if (packets->length < GDB_PACKET_SIZE)
        packets->text[packets->length] = (char)byte;
    if (packets->length <= GDB_PACKET_SIZE)
        packets->length++;
}

static enum gdb_input end(struct gdb_packets *packets)
{
    packets->state = GDB_BETWEEN;
    if (!packets->without_acknowledgement) {
        bool is_good = !packets->is_bad && packets->sum == packets->expected;
        put(packets, is_good ? "+" : "-", 1);
        if (!is_good)
            return GDB_NOTHING;
    }
    if (packets->length > GDB_PACKET_SIZE)
        return GDB_TOO_LONG;
    packets->text[packets->length] = '\0';
    return GDB_PACKET;
}

static enum gdb_input take_between(struct gdb_packets *packets, uint8_t byte)
{
    if (byte == '$')
        begin(packets);
    else if (byte == '-' && !packets->without_acknowledgement)
        put(packets, packets->last, packets->last_length);
    return byte == INTERRUPT ? GDB_INTERRUPT : GDB_NOTHING;
}

static void take_inside(struct gdb_packets *packets, uint8_t byte)
{
    if (byte == '$') { /* the one before had no end */
        begin(packets);
        return;
    }
    if (byte == '#') {
        packets->state = GDB_CHECKSUM_HIGH;
        return;
    }
    packets->sum = (uint8_t)(packets->sum + byte);
    if (packets->state == GDB_INSIDE && byte == ESCAPE) {
        packets->state = GDB_ESCAPED;
        return;
    }
    add(packets, packets->state == GDB_ESCAPED ? byte ^ ESCAPED_BITS : byte);
    packets->state = GDB_INSIDE;
}

static enum gdb_input take_checksum(struct gdb_packets *packets, uint8_t byte)
{
    int digit = hex_digit((char)byte);
    packets->is_bad = packets->is_bad || digit < 0;
    packets->expected = (uint8_t)(packets->expected << 4 | (digit & 15));
    if (packets->state == GDB_CHECKSUM_LOW)
        return end(packets);
    packets->state = GDB_CHECKSUM_LOW;
    return GDB_NOTHING;
}

enum gdb_input gdb_packets_take(struct gdb_packets *packets, const uint8_t *bytes, size_t count,
                                size_t *used)
{
    enum gdb_input input = GDB_NOTHING;
    for (*used = 0; *used < count && input == GDB_NOTHING; ++*used) {
        uint8_t byte = bytes[*used];
        if (packets->state == GDB_BETWEEN)
            input = take_between(packets, byte);
        else if (packets->state == GDB_INSIDE || packets->state == GDB_ESCAPED)
            take_inside(packets, byte);
        else
            input = take_checksum(packets, byte);
    }
    return input;
}

bool gdb_packets_send(struct gdb_packets *packets, const char *payload, size_t length)
{
    char *at = packets->last;
    uint8_t sum = 0;
    *at++ = '$';
    for (size_t i = 0; i < length; i++) {
        char byte = payload[i];
        if (byte == '$' || byte == '#' || byte == '*' || byte == ESCAPE) {
            *at++ = ESCAPE;
            sum = (uint8_t)(sum + ESCAPE);
            byte ^= ESCAPED_BITS;
        }
        *at++ = byte;
        sum = (uint8_t)(sum + (uint8_t)byte);
    }
    *at++ = '#';
    at = hex_write(at, &sum, 1);
    packets->last_length = (size_t)(at - packets->last);
    return put(packets, packets->last, packets->last_length);
}

void gdb_packets_sent(struct gdb_packets *packets, size_t count)
{
    packets->output_length -= count;
    memmove(packets->output, packets->output + count, packets->output_length);
}
