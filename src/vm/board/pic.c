#include "vm/board/pic.h"

#define CASCADE 2 /* the first's line to the second */
#define NO_LINE 8

static uint8_t bit(unsigned line)
{
    return (uint8_t)(1u << line);
}

void pic_initialize(struct pic *pic)
{
    /* Lines 0, 1, 2, 8 and 13 can't be level-triggered. */
    *pic = (struct pic){
        .chips = {{.trigger_valid = 0xf8, .mask = 0xff}, {.trigger_valid = 0xde, .mask = 0xff}}};
}

/* The place of the most urgent of these lines, from 0 on: priorities rotate. NO_LINE: none. */
static unsigned urgency(const struct pic_chip *chip, uint8_t lines)
{
    for (unsigned i = 0; i < 8; i++) {
        if (lines & bit((chip->priority + i) % 8))
            return i;
    }
    return NO_LINE;
}

/* The line that the chip asks for, or NO_LINE. */
static unsigned asking(const struct pic *pic, unsigned number)
{
    const struct pic_chip *chip = &pic->chips[number];
    uint8_t serving = chip->in_service;
    if (chip->has_special_mask)
        serving &= (uint8_t)~chip->mask;
    /* The second's next interrupt comes through while another of its is served. */
    if (number == 0 && chip->is_nested_specially)
        serving &= (uint8_t)~bit(CASCADE);
    unsigned wanted = urgency(chip, chip->requested & (uint8_t)~chip->mask);
    return wanted < urgency(chip, serving) ? (chip->priority + wanted) % 8 : NO_LINE;
}

static void set_chip_line(struct pic_chip *chip, unsigned line, bool level)
{
    uint8_t mask = bit(line);
    if (chip->level_triggered & mask)
        chip->requested = (uint8_t)(level ? chip->requested | mask : chip->requested & ~mask);
    else if (level && !(chip->levels & mask))
        chip->requested |= mask;
    chip->levels = (uint8_t)(level ? chip->levels | mask : chip->levels & ~mask);
}

/* The second's output is the first's line. */
static void update(struct pic *pic)
{
    bool level = asking(pic, 1) != NO_LINE;
    /* Each of the second's interrupts is an edge of its own. */
    set_chip_line(&pic->chips[0], CASCADE, false);
    if (!level)
        pic->chips[0].requested &= (uint8_t)~bit(CASCADE);
    set_chip_line(&pic->chips[0], CASCADE, level);
}

void pic_set_line(struct pic *pic, unsigned line, bool level)
{
    if (line >= PIC_LINES || line == CASCADE)
        return;
    set_chip_line(&pic->chips[line / 8], line % 8, level);
    update(pic);
}

bool pic_is_asking(const struct pic *pic)
{
    return asking(pic, 0) != NO_LINE;
}

static void end(struct pic_chip *chip, unsigned line, bool rotates)
{
    chip->in_service &= (uint8_t)~bit(line);
    if (rotates)
        chip->priority = (uint8_t)((line + 1) % 8);
}

/* The interrupt comes into service, or if it ends by itself is over. A level stays asked for. */
static void serve(struct pic_chip *chip, unsigned line)
{
    if (!(chip->level_triggered & bit(line)))
        chip->requested &= (uint8_t)~bit(line);
    chip->in_service |= bit(line);
    if (chip->ends_automatically)
        end(chip, line, chip->rotates_automatically);
}

static uint8_t acknowledge_chip(struct pic *pic, unsigned number)
{
    struct pic_chip *chip = &pic->chips[number];
    unsigned line = asking(pic, number);
    if (line == NO_LINE)
        return (uint8_t)(chip->base + 7);
    serve(chip, line);
    return (uint8_t)(chip->base + line);
}

uint8_t pic_acknowledge(struct pic *pic)
{
    bool is_cascaded = asking(pic, 0) == CASCADE;
    uint8_t vector = acknowledge_chip(pic, 0);
    if (is_cascaded)
        vector = acknowledge_chip(pic, 1);
    update(pic);
    return vector;
}

/* ---- Commands ---- */

static void write_icw1(struct pic_chip *chip, uint8_t value)
{
    *chip = (struct pic_chip){.levels = chip->levels,
                              .level_triggered = chip->level_triggered,
                              .trigger_valid = chip->trigger_valid,
                              .base = chip->base,
                              .needs_icw4 = value & 1,
                              .is_single = value & 2,
                              .requested = chip->levels & chip->level_triggered,
                              .step = 2};
}

/* OCW2: ends of interrupts and priorities. Bits 7-5 are rotate, specific, end. */
static void write_ocw2(struct pic_chip *chip, uint8_t value)
{
    unsigned line = value & 7, place = urgency(chip, chip->in_service);
    bool rotates = value & 0x80;
    switch (value >> 5) {
    case 0:
    case 4:
        chip->rotates_automatically = rotates;
        break;
    case 1:
    case 5:
        if (place < NO_LINE)
            end(chip, (chip->priority + place) % 8, rotates);
        break;
    case 3:
    case 7:
        end(chip, line, rotates);
        break;
    case 6:
        chip->priority = (uint8_t)((line + 1) % 8);
        break;
    default:
        break;
    }
}

static void write_ocw3(struct pic_chip *chip, uint8_t value)
{
    if (value & 4)
        chip->polls = true;
    if (value & 2)
        chip->reads_in_service = value & 1;
    if (value & 0x40)
        chip->has_special_mask = value & 0x20;
}

static void write_data(struct pic_chip *chip, uint8_t value)
{
    switch (chip->step) {
    case 2:
        chip->base = value & 0xf8;
        chip->step = !chip->is_single ? 3 : chip->needs_icw4 ? 4 : 0;
        break;
    case 3: /* how they are connected, which is not the guest's to choose */
        chip->step = chip->needs_icw4 ? 4 : 0;
        break;
    case 4:
        chip->ends_automatically = value & 2;
        chip->is_nested_specially = value & 0x10;
        chip->step = 0;
        break;
    default:
        chip->mask = value;
    }
}

static uint8_t read_chip(struct pic *pic, unsigned number, bool is_data)
{
    struct pic_chip *chip = &pic->chips[number];
    if (chip->polls) { /* OCW3: the read is the processor's answer */
        unsigned line = asking(pic, number);
        chip->polls = false;
        if (line == NO_LINE)
            return 0;
        serve(chip, line);
        update(pic);
        return (uint8_t)(0x80 | line);
    }
    if (is_data)
        return chip->mask;
    return chip->reads_in_service ? chip->in_service : chip->requested;
}

static void write_trigger(struct pic *pic, unsigned number, uint8_t value)
{
    struct pic_chip *chip = &pic->chips[number];
    chip->level_triggered = value & chip->trigger_valid;
    /* What was an edge is now a level, or not there. */
    chip->requested = (uint8_t)((chip->requested & ~chip->level_triggered) |
                                (chip->levels & chip->level_triggered));
}

uint8_t pic_read(struct pic *pic, uint16_t port)
{
    if (port >= PIC_TRIGGER)
        return pic->chips[port & 1].level_triggered;
    return read_chip(pic, port >= PIC_SECOND, port & 1);
}

void pic_write(struct pic *pic, uint16_t port, uint8_t value)
{
    struct pic_chip *chip = &pic->chips[port >= PIC_SECOND];
    if (port >= PIC_TRIGGER)
        write_trigger(pic, port & 1, value);
    else if (port & 1)
        write_data(chip, value);
    else if (value & 0x10)
        write_icw1(chip, value);
    else if (value & 8)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    update(pic);
}
