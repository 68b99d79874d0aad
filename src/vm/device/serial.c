#include "vm/device/serial.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    DATA,
    INTERRUPT_ENABLE,
    IDENTIFY,
    LINE_CONTROL,
    MODEM_CONTROL,
    LINE_STATUS,
    MODEM_STATUS,
    SCRATCH
};

#define ENABLE_RECEIVED 1
#define ENABLE_EMPTY 2
#define ENABLE_LINE 4
#define IDENTIFY_NONE 1
#define IDENTIFY_EMPTY 2
#define IDENTIFY_RECEIVED 4
#define IDENTIFY_FIFO 0xc0
#define LINE_CONTROL_DIVISOR 0x80
#define MODEM_LOOP 0x10
#define MODEM_OUT2 8 /* lets interrupts through, on a PC */
#define STATUS_RECEIVED 1
#define STATUS_EMPTY 0x60 /* holding and shift register */
#define MODEM_READY 0xb0  /* carrier, data set ready, clear to send */

#define INPUT_SIZE 64
#define OUTPUT_SIZE 512
#define OUTPUT_DELAY 10 /* ms that an unfinished line waits */

struct serial {
    struct loop *loop;
    struct interrupts *interrupts;
    unsigned line;
    int output;
    uint8_t enable, fifo, line_control, modem_control, scratch;
    uint16_t divisor;
    bool empty_is_pending, line_is_raised;
    uint8_t input[INPUT_SIZE];
    unsigned input_start, input_count;
    char collected[OUTPUT_SIZE];
    unsigned collected_count;
    struct loop_timer flush;
    struct loop_source source;
    struct rate_bucket limit;
    struct serial_counters counters;
};

static uint8_t identify(const struct serial *serial)
{
    uint8_t fifo = serial->fifo & 1 ? IDENTIFY_FIFO : 0;
    if ((serial->enable & ENABLE_RECEIVED) && serial->input_count > 0)
        return fifo | IDENTIFY_RECEIVED;
    if ((serial->enable & ENABLE_EMPTY) && serial->empty_is_pending)
        return fifo | IDENTIFY_EMPTY;
    return fifo | IDENTIFY_NONE;
}

static void update_line(struct serial *serial)
{
    bool raised = !(identify(serial) & IDENTIFY_NONE) && (serial->modem_control & MODEM_OUT2);
    if (raised != serial->line_is_raised)
        interrupts_set_line(serial->interrupts, serial->line, raised);
    serial->line_is_raised = raised;
}

/* A terminal that doesn't take bytes for a while holds the guest up, as a slow line does; one that
 * is gone gets none. */
static void flush(struct serial *serial)
{
    unsigned done = 0;
    while (done < serial->collected_count) {
        ssize_t count =
            write(serial->output, serial->collected + done, serial->collected_count - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN) {
            struct pollfd polled = {serial->output, POLLOUT, 0};
            if (poll(&polled, 1, 1000) == 1)
                continue;
        }
        if (count <= 0)
            break;
        done += (unsigned)count;
    }
    serial->collected_count = 0;
    loop_timer_cancel(serial->loop, &serial->flush);
}

static void on_flush(struct loop_timer *timer)
{
    flush(loop_owner(timer, struct serial, flush));
}

static void send(struct serial *serial, uint8_t byte)
{
    if (serial->output < 0)
        return;
    if (rate_bucket_take(&serial->limit, 1, rate_now()) > 0) {
        serial->counters.dropped++;
        return;
    }
    serial->counters.written++;
    serial->collected[serial->collected_count++] = (char)byte;
    if (byte == '\n' || serial->collected_count == OUTPUT_SIZE)
        flush(serial);
    else if (!serial->flush.armed)
        loop_timer_set(serial->loop, &serial->flush, OUTPUT_DELAY);
}

static void receive(struct serial *serial, uint8_t byte)
{
    if (serial->input_count < INPUT_SIZE)
        serial->input[(serial->input_start + serial->input_count++) % INPUT_SIZE] = byte;
}

/* Takes no more from the outside than the guest reads. */
static void watch_input(struct serial *serial)
{
    if (serial->source.fd >= 0)
        loop_watch(serial->loop, &serial->source, serial->input_count < INPUT_SIZE ? EPOLLIN : 0);
}

static void on_input(struct loop_source *source, uint32_t events)
{
    struct serial *serial = loop_owner(source, struct serial, source);
    uint8_t bytes[INPUT_SIZE];
    (void)events;
    ssize_t count = read(source->fd, bytes, INPUT_SIZE - serial->input_count);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        loop_watch(serial->loop, source, 0);
        source->fd = -1;
        return;
    }
    for (ssize_t i = 0; i < count; i++)
        receive(serial, bytes[i]);
    watch_input(serial);
    update_line(serial);
}

static uint8_t take_input(struct serial *serial)
{
    uint8_t byte = 0;
    if (serial->input_count > 0) {
        byte = serial->input[serial->input_start];
        serial->input_start = (serial->input_start + 1) % INPUT_SIZE;
        serial->input_count--;
        serial->counters.read++;
    }
    watch_input(serial);
    return byte;
}

/* In loop-back mode the four outputs come back as inputs. */
static uint8_t modem_status(const struct serial *serial)
{
    uint8_t out = serial->modem_control;
    if (!(out & MODEM_LOOP))
        return MODEM_READY;
    return (uint8_t)((out & 2) << 3 | (out & 1) << 5 | (out & 4) << 4 | (out & 8) << 4);
}

static uint64_t read_port(void *context, uint64_t offset, unsigned size)
{
    struct serial *serial = context;
    bool divisor = serial->line_control & LINE_CONTROL_DIVISOR;
    uint8_t value = 0;
    (void)size;
    switch (offset) {
    case DATA:
        value = divisor ? (uint8_t)serial->divisor : take_input(serial);
        break;
    case INTERRUPT_ENABLE:
        value = divisor ? (uint8_t)(serial->divisor >> 8) : serial->enable;
        break;
    case IDENTIFY:
        value = identify(serial);
        if ((value & 15) == IDENTIFY_EMPTY)
            serial->empty_is_pending = false;
        break;
    case LINE_CONTROL:
        value = serial->line_control;
        break;
    case MODEM_CONTROL:
        value = serial->modem_control;
        break;
    case LINE_STATUS:
        value = STATUS_EMPTY | (serial->input_count > 0 ? STATUS_RECEIVED : 0);
        break;
    case MODEM_STATUS:
        value = modem_status(serial);
        break;
    default:
        value = serial->scratch;
    }
    update_line(serial);
    return value;
}

static void write_data(struct serial *serial, uint8_t byte)
{
    if (serial->modem_control & MODEM_LOOP)
        receive(serial, byte);
    else
        send(serial, byte);
    serial->empty_is_pending = true;
}

static void write_port(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial *serial = context;
    bool divisor = serial->line_control & LINE_CONTROL_DIVISOR;
    uint8_t byte = (uint8_t)value;
    (void)size;
    switch (offset) {
    case DATA:
        if (divisor)
            serial->divisor = (uint16_t)((serial->divisor & 0xff00) | byte);
        else
            write_data(serial, byte);
        break;
    case INTERRUPT_ENABLE:
        if (divisor) {
            serial->divisor = (uint16_t)((serial->divisor & 0xff) | byte << 8);
            break;
        }
        if ((byte & ENABLE_EMPTY) && !(serial->enable & ENABLE_EMPTY))
            serial->empty_is_pending = true;
        serial->enable = byte & 15;
        break;
    case IDENTIFY: /* FIFO control, when it is written */
        serial->fifo = byte & 1;
        if (byte & 2)
            serial->input_count = 0;
        break;
    case LINE_CONTROL:
        serial->line_control = byte;
        break;
    case MODEM_CONTROL:
        serial->modem_control = byte & 31;
        break;
    case SCRATCH:
        serial->scratch = byte;
        break;
    default:
        break; /* the status registers can't be written */
    }
    update_line(serial);
}

const struct bus_operations serial_bus_operations = {read_port, write_port};

struct serial *serial_create(struct loop *loop, struct interrupts *interrupts, unsigned line,
                             int output, int input)
{
    struct serial *serial = memory_allocate(1, sizeof *serial);
    *serial = (struct serial){.loop = loop,
                              .interrupts = interrupts,
                              .line = line,
                              .output = output,
                              .flush = {.expired = on_flush},
                              .source = {.fd = input, .ready = on_input}};
    watch_input(serial);
    return serial;
}

void serial_limit(struct serial *serial, const struct rate_bucket_settings *limit)
{
    rate_bucket_fill(&serial->limit, limit, rate_now());
}

const struct serial_counters *serial_counters(const struct serial *serial)
{
    return &serial->counters;
}

void serial_destroy(struct serial *serial)
{
    flush(serial);
    if (serial->source.fd >= 0)
        loop_watch(serial->loop, &serial->source, 0);
    free(serial);
}
