/* The real-time clock of a PC (MC146818A): the host's time in UTC, an alarm, and 114 bytes of
 * memory. */
#ifndef HULL_VM_RTC_H
#define HULL_VM_RTC_H

#include "base/loop.h"
#include "vm/board/bus.h"
#include "vm/board/interrupts.h"

struct rtc;
struct rtc *rtc_create(struct loop *loop, struct interrupts *interrupts, unsigned line);
void rtc_destroy(struct rtc *rtc);
extern const struct bus_operations rtc_bus_operations; /* two ports: index and data */

#endif
