#include "vm/device/rtc.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"

enum {
    SECONDS = 0,
    SECONDS_ALARM = 1,
    MINUTES = 2,
    MINUTES_ALARM = 3,
    HOURS = 4,
    HOURS_ALARM = 5,
    WEEKDAY = 6,
    DAY = 7,
    MONTH = 8,
    YEAR = 9,
    REGISTER_A = 10,
    REGISTER_B = 11,
    REGISTER_C = 12,
    REGISTER_D = 13,
    CENTURY = 0x32, /* where PCs have it */
};

#define A_32768_HZ 0x26
#define B_24_HOURS 2
#define B_BINARY 4
#define B_UPDATE_INTERRUPT 0x10
#define B_ALARM_INTERRUPT 0x20
#define B_HALTED 0x80
#define C_INTERRUPT 0x80
#define C_ALARM 0x20
#define C_UPDATE 0x10
#define D_VALID 0x80
#define ALARM_ANY 0xc0 /* an alarm register from here on matches always */

struct rtc {
    struct loop *loop;
    struct interrupts *interrupts;
    unsigned line;
    uint8_t index, memory[128];
    int64_t offset; /* seconds from the host's clock to the guest's */
    struct loop_timer second;
};

static uint8_t encode(const struct rtc *rtc, int value)
{
    return (uint8_t)(rtc->memory[REGISTER_B] & B_BINARY ? value : value / 10 * 16 + value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->memory[REGISTER_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
    if (rtc->memory[REGISTER_B] & B_24_HOURS)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? 0x80 : 0));
}

static struct tm now(const struct rtc *rtc)
{
    time_t seconds = (time_t)(time(NULL) + rtc->offset);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return parts;
}

static uint8_t read_time(const struct rtc *rtc, unsigned index)
{
    struct tm parts = now(rtc);
    switch (index) {
    case SECONDS:
        return encode(rtc, parts.tm_sec);
    case MINUTES:
        return encode(rtc, parts.tm_min);
    case HOURS:
        return encode_hour(rtc, parts.tm_hour);
    case WEEKDAY:
        return encode(rtc, parts.tm_wday + 1);
    case DAY:
        return encode(rtc, parts.tm_mday);
    case MONTH:
        return encode(rtc, parts.tm_mon + 1);
    case YEAR:
        return encode(rtc, parts.tm_year % 100);
    default:
        return encode(rtc, parts.tm_year / 100 + 19);
    }
}

static void write_time(struct rtc *rtc, unsigned index, uint8_t byte)
{
    struct tm parts = now(rtc);
    int value = decode(rtc, index == HOURS ? byte & 0x7f : byte);
    switch (index) {
    case SECONDS:
        parts.tm_sec = value;
        break;
    case MINUTES:
        parts.tm_min = value;
        break;
    case HOURS:
        parts.tm_hour =
            rtc->memory[REGISTER_B] & B_24_HOURS ? value : value % 12 + (byte & 0x80 ? 12 : 0);
        break;
    case DAY:
        parts.tm_mday = value;
        break;
    case MONTH:
        parts.tm_mon = value - 1;
        break;
    case YEAR:
        parts.tm_year = parts.tm_year / 100 * 100 + value;
        break;
    case CENTURY:
        parts.tm_year = (value - 19) * 100 + parts.tm_year % 100;
        break;
    default:
        return; /* the day of the week follows from the date */
    }
    rtc->offset = timegm(&parts) - time(NULL);
}

static bool matches(uint8_t alarm, uint8_t value)
{
    return alarm >= ALARM_ANY || alarm == value;
}

static void update_timer(struct rtc *rtc)
{
    bool wanted = (rtc->memory[REGISTER_B] & (B_UPDATE_INTERRUPT | B_ALARM_INTERRUPT)) &&
                  !(rtc->memory[REGISTER_B] & B_HALTED);
    struct timespec time;
    if (!wanted) {
        loop_timer_cancel(rtc->loop, &rtc->second);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &time);
    loop_timer_set(rtc->loop, &rtc->second, 1000 - time.tv_nsec / 1000000);
}

static void on_second(struct loop_timer *timer)
{
    struct rtc *rtc = loop_owner(timer, struct rtc, second);
    uint8_t *memory = rtc->memory, happened = C_UPDATE;
    if (matches(memory[SECONDS_ALARM], read_time(rtc, SECONDS)) &&
        matches(memory[MINUTES_ALARM], read_time(rtc, MINUTES)) &&
        matches(memory[HOURS_ALARM], read_time(rtc, HOURS)))
        happened |= C_ALARM;
    memory[REGISTER_C] |= happened;
    /* The enabling bits of B lie where the flags of C do. */
    if (happened & memory[REGISTER_B]) {
        memory[REGISTER_C] |= C_INTERRUPT;
        interrupts_set_line(rtc->interrupts, rtc->line, true);
        interrupts_set_line(rtc->interrupts, rtc->line, false);
    }
    update_timer(rtc);
}

static uint64_t read_port(void *device, uint64_t offset, unsigned size)
{
    struct rtc *rtc = device;
    unsigned index = rtc->index;
    (void)size;
    if (offset == 0)
        return 0xff; /* the index can't be read */
    if (index <= YEAR && (index % 2 == 0 || index >= DAY))
        return read_time(rtc, index);
    if (index == CENTURY)
        return read_time(rtc, index);
    if (index == REGISTER_C) {
        uint8_t happened = rtc->memory[REGISTER_C];
        rtc->memory[REGISTER_C] = 0;
        return happened;
    }
    return rtc->memory[index];
}

static void write_port(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *rtc = device;
    unsigned index = rtc->index;
    uint8_t byte = (uint8_t)value;
    (void)size;
    if (offset == 0) {
        rtc->index = byte & 0x7f;
        return;
    }
    if ((index <= YEAR && (index % 2 == 0 || index >= DAY)) || index == CENTURY) {
        write_time(rtc, index, byte);
    } else if (index == REGISTER_A) {
        rtc->memory[index] = byte & 0x7f; /* never in the middle of an update */
    } else if (index == REGISTER_B) {
        rtc->memory[index] = byte;
        update_timer(rtc);
    } else if (index != REGISTER_C && index != REGISTER_D) {
        rtc->memory[index] = byte;
    }
}

const struct bus_operations rtc_bus_operations = {read_port, write_port};

struct rtc *rtc_create(struct loop *loop, struct interrupts *interrupts, unsigned line)
{
    struct rtc *rtc = memory_allocate(1, sizeof *rtc);
    *rtc = (struct rtc){
        .loop = loop, .interrupts = interrupts, .line = line, .second = {.expired = on_second}};
    rtc->memory[REGISTER_A] = A_32768_HZ;
    rtc->memory[REGISTER_B] = B_24_HOURS;
    rtc->memory[REGISTER_D] = D_VALID;
    return rtc;
}

void rtc_destroy(struct rtc *rtc)
{
    loop_timer_cancel(rtc->loop, &rtc->second);
    free(rtc);
}
