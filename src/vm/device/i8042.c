/* The keyboard controller: enough of one, and of a keyboard, that drivers find them; its use is the
 * reset line and Control-Alt-Delete. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/device/power.h"

#define STATUS_FULL 1 /* a byte waits to be read */
#define STATUS_SYSTEM 4
#define STATUS_COMMAND 8
#define STATUS_UNLOCKED 0x10 /* by a PC's key */
#define CONFIG_INTERRUPT 1
#define CONFIG_TRANSLATE 0x40
#define OUTPUT_SIZE 32

struct i8042 {
    struct interrupts *interrupts;
    unsigned line;
    struct power_listener *listener;
    uint8_t config, status, pending; /* pending: the command that the next data byte belongs to */
    uint8_t keyboard_pending;
    uint8_t output[OUTPUT_SIZE];
    unsigned output_start, output_count;
};

static void raise_line(struct i8042 *i8042)
{
    if (i8042->output_count == 0 || !(i8042->config & CONFIG_INTERRUPT))
        return;
    interrupts_set_line(i8042->interrupts, i8042->line, true);
    interrupts_set_line(i8042->interrupts, i8042->line, false);
}

static void answer(struct i8042 *i8042, const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count && i8042->output_count < OUTPUT_SIZE; i++)
        i8042->output[(i8042->output_start + i8042->output_count++) % OUTPUT_SIZE] = bytes[i];
    raise_line(i8042);
}

static void answer_byte(struct i8042 *i8042, uint8_t byte)
{
    answer(i8042, &byte, 1);
}

static void write_command(struct i8042 *i8042, uint8_t command)
{
    i8042->status |= STATUS_COMMAND;
    switch (command) {
    case 0x20: /* read the configuration */
        answer_byte(i8042, i8042->config);
        break;
    case 0x60: /* write it */
    case 0xd1: /* write the output port */
    case 0xd2: /* write to the keyboard's output */
    case 0xd3: /* and to the mouse's, which isn't there */
    case 0xd4:
        i8042->pending = command;
        break;
    case 0xaa: /* self-test: passed */
        answer_byte(i8042, 0x55);
        break;
    case 0xab: /* test of the keyboard's line: fine */
        answer_byte(i8042, 0);
        break;
    case 0xa9: /* and of the mouse's: stuck, for there is none */
        answer_byte(i8042, 1);
        break;
    case 0xd0: /* read the output port: A20 is on, no reset */
        answer_byte(i8042, 3);
        break;
    case 0xfe:
        i8042->listener->happened(i8042->listener, POWER_RESET);
        break;
    default:
        break; /* switching lines on and off */
    }
}

static void write_keyboard(struct i8042 *i8042, uint8_t byte)
{
    static const uint8_t acknowledged = 0xfa;
    static const uint8_t identity[] = {0xfa, 0xab, 0x83}, after_reset[] = {0xfa, 0xaa};
    if (i8042->keyboard_pending) { /* the parameter of the command before */
        i8042->keyboard_pending = 0;
        answer_byte(i8042, acknowledged);
        return;
    }
    switch (byte) {
    case 0xf2:
        answer(i8042, identity, sizeof identity);
        break;
    case 0xff:
        answer(i8042, after_reset, sizeof after_reset);
        break;
    case 0xed: /* lights */
    case 0xf0: /* scan code set */
    case 0xf3: /* rate */
        i8042->keyboard_pending = byte;
        answer_byte(i8042, acknowledged);
        break;
    default:
        answer_byte(i8042, acknowledged);
    }
}

static void write_data(struct i8042 *i8042, uint8_t byte)
{
    uint8_t command = i8042->pending;
    i8042->pending = 0;
    i8042->status &= (uint8_t)~STATUS_COMMAND;
    switch (command) {
    case 0x60:
        i8042->config = byte;
        break;
    case 0xd1:
        if (!(byte & 1))
            i8042->listener->happened(i8042->listener, POWER_RESET);
        break;
    case 0xd2:
        answer_byte(i8042, byte);
        break;
    case 0xd3:
    case 0xd4:
        break;
    default:
        write_keyboard(i8042, byte);
    }
}

static uint64_t read_data(void *device, uint64_t offset, unsigned size)
{
    struct i8042 *i8042 = device;
    (void)offset, (void)size;
    if (i8042->output_count == 0)
        return 0;
    uint8_t byte = i8042->output[i8042->output_start];
    i8042->output_start = (i8042->output_start + 1) % OUTPUT_SIZE;
    i8042->output_count--;
    raise_line(i8042); /* for the next one */
    return byte;
}

static void write_data_port(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    write_data(device, (uint8_t)value);
}

static uint64_t read_status(void *device, uint64_t offset, unsigned size)
{
    const struct i8042 *i8042 = device;
    (void)offset, (void)size;
    return i8042->status | STATUS_SYSTEM | STATUS_UNLOCKED |
           (i8042->output_count > 0 ? STATUS_FULL : 0);
}

static void write_command_port(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    write_command(device, (uint8_t)value);
}

const struct bus_operations i8042_data_operations = {read_data, write_data_port};
const struct bus_operations i8042_command_operations = {read_status, write_command_port};

struct i8042 *i8042_create(struct interrupts *interrupts, unsigned line,
                           struct power_listener *listener)
{
    struct i8042 *i8042 = memory_allocate(1, sizeof *i8042);
    *i8042 = (struct i8042){.interrupts = interrupts,
                            .line = line,
                            .listener = listener,
                            .config = CONFIG_INTERRUPT | CONFIG_TRANSLATE};
    return i8042;
}

void i8042_destroy(struct i8042 *i8042)
{
    free(i8042);
}

void i8042_press_ctrl_alt_delete(struct i8042 *i8042)
{
    /* Scan code set 2, which the controller translates to set 1 if the guest asked for that. */
    static const uint8_t translated[] = {0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d};
    static const uint8_t plain[] = {0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0,
                                    0x71, 0xf0, 0x11, 0xf0, 0x14};
    if (i8042->config & CONFIG_TRANSLATE)
        answer(i8042, translated, sizeof translated);
    else
        answer(i8042, plain, sizeof plain);
}
