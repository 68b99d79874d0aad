/* The pair of interrupt controllers of a PC (Intel 8259A), the second at the first's line 2, with
 * the registers that say which lines are level-triggered (ELCR). A state machine; who owns it has
 * the lock (controllers.h). Processors that 8086 mode isn't for are not served. */
#ifndef HULL_VM_PIC_H
#define HULL_VM_PIC_H

#include <stdbool.h>
#include <stdint.h>

#define PIC_LINES 16
#define PIC_FIRST 0x20 /* ports: two for each */
#define PIC_SECOND 0xa0
#define PIC_TRIGGER 0x4d0 /* one for each */

struct pic_chip {
    uint8_t levels, requested, in_service, mask;
    uint8_t level_triggered, trigger_valid;
    uint8_t base;     /* vector of line 0 */
    uint8_t step;     /* the next byte of an initialization (ICW2 to 4), or 0 */
    uint8_t priority; /* the line that comes first */
    bool needs_icw4, is_single;
    bool reads_in_service, polls, ends_automatically, rotates_automatically, has_special_mask,
        is_nested_specially;
};

struct pic {
    struct pic_chip chips[2];
};

/* As firmware leaves it: all lines are masked. */
void pic_initialize(struct pic *pic);
void pic_set_line(struct pic *pic, unsigned line, bool level);
/* Whether the pair asks for the processor. */
bool pic_is_asking(const struct pic *pic);
/* The processor's answer: the vector. If nobody asks any more that of line 7 (or 15), "spurious".
 */
uint8_t pic_acknowledge(struct pic *pic);
/* Port is one of the six. */
uint8_t pic_read(struct pic *pic, uint16_t port);
void pic_write(struct pic *pic, uint16_t port, uint8_t value);

#endif
