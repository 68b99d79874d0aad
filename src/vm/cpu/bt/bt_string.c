/* String instructions: as much at once as lies in one page. Each step leaves registers from which
 * the instruction starts again, after an exception or an interrupt (Intel SDM 2B, REP). */
#include "vm/cpu/bt/bt_internal.h"

/* What is done between two looks for interrupts. */
#define BYTES_MAX 65536u

struct string {
    struct bt_vcpu *vcpu;
    const struct instruction *in;
    unsigned size; /* of an element */
    uint64_t mask; /* of addresses */
    int64_t step;
};

static uint64_t *reg(const struct string *string, unsigned number)
{
    return &string->vcpu->state->registers[number];
}

static uint64_t source(const struct string *string)
{
    return (*reg(string, REGISTER_RSI) & string->mask) +
           string->vcpu->state->segment_bases[string->in->segment];
}

static uint64_t destination(const struct string *string)
{
    return (*reg(string, REGISTER_RDI) & string->mask) +
           string->vcpu->state->segment_bases[SEGMENT_ES];
}

static void set_masked(const struct string *string, unsigned number, uint64_t value)
{
    uint64_t *to = reg(string, number);
    if (string->in->address_size == 2)
        *to = (*to & ~string->mask) | (value & string->mask);
    else
        *to = value & string->mask;
}

static void advance(const struct string *string, unsigned number, uint64_t count)
{
    set_masked(string, number, *reg(string, number) + (uint64_t)string->step * count);
}

/* How many elements from linear on are one piece of memory, upwards; 0: none. -1: exception. */
static int64_t span(const struct string *string, uint64_t linear, unsigned access, uint64_t count,
                    uint8_t **host)
{
    uint64_t size = count * string->size;
    if (!bt_span(string->vcpu, linear, access, host, &size))
        return -1;
    return *host ? (int64_t)(size / string->size) : 0;
}

/* Devices may not be given more than was asked for, and elements may cross pages: one by one. */
static bool move_one(const struct string *string)
{
    uint64_t value;
    return bt_read_value(string->vcpu, source(string), &value, string->size) &&
           bt_write_value(string->vcpu, destination(string), value, string->size);
}

static void fill(uint8_t *host, uint64_t value, unsigned size, uint64_t count)
{
    if (size == 1)
        __asm__ volatile("rep stosb" : "+D"(host), "+c"(count) : "a"(value) : "memory");
    else if (size == 2)
        __asm__ volatile("rep stosw" : "+D"(host), "+c"(count) : "a"(value) : "memory");
    else if (size == 4)
        __asm__ volatile("rep stosl" : "+D"(host), "+c"(count) : "a"(value) : "memory");
    else
        __asm__ volatile("rep stosq" : "+D"(host), "+c"(count) : "a"(value) : "memory");
}

/* An overlap must come out as element by element would. */
static void copy(uint8_t *to, const uint8_t *from, unsigned size, uint64_t count)
{
    if (size == 1)
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    else if (size == 2)
        __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    else if (size == 4)
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    else
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

/* Each does up to count elements: how many, or -1 for an exception. */
static int64_t move(const struct string *string, uint64_t count)
{
    uint8_t *from, *to;
    if (string->step > 0 && count > 1) {
        int64_t there = span(string, destination(string), BT_WRITE, count, &to);
        if (there < 0)
            return -1;
        int64_t here =
            there > 0 ? span(string, source(string), BT_READ, (uint64_t)there, &from) : 0;
        if (here < 0)
            return -1;
        if (here > 0) {
            copy(to, from, string->size, (uint64_t)here);
            advance(string, REGISTER_RSI, (uint64_t)here);
            advance(string, REGISTER_RDI, (uint64_t)here);
            return here;
        }
    }
    if (!move_one(string))
        return -1;
    advance(string, REGISTER_RSI, 1);
    advance(string, REGISTER_RDI, 1);
    return 1;
}

static int64_t store(const struct string *string, uint64_t count)
{
    uint8_t *to;
    uint64_t value = *reg(string, REGISTER_RAX);
    if (string->step > 0 && count > 1) {
        int64_t there = span(string, destination(string), BT_WRITE, count, &to);
        if (there < 0)
            return -1;
        if (there > 0) {
            fill(to, value, string->size, (uint64_t)there);
            advance(string, REGISTER_RDI, (uint64_t)there);
            return there;
        }
    }
    if (!bt_write_value(string->vcpu, destination(string), value, string->size))
        return -1;
    advance(string, REGISTER_RDI, 1);
    return 1;
}

static int64_t load(const struct string *string, uint64_t count)
{
    uint64_t value;
    (void)count;
    if (!bt_read_value(string->vcpu, source(string), &value, string->size))
        return -1;
    bt_write_register(string->vcpu, REGISTER_RAX, value, string->size);
    advance(string, REGISTER_RSI, 1);
    return 1;
}

/* The flags of left - right. */
static void compare(const struct string *string, uint64_t left, uint64_t right)
{
    uint16_t flags;
    unsigned shift = 64 - 8 * string->size;
    left <<= shift;
    right <<= shift;
    __asm__("cmp %2, %1; lahf; seto %%al" : "=a"(flags) : "r"(left), "r"(right) : "cc");
    /* AF and PF are of the lowest bits, which the shift has moved away. */
    left >>= shift;
    right >>= shift;
    bool adjust = (left & 15) < (right & 15);
    bool parity = !__builtin_parity((unsigned)(left - right) & 0xff);
    string->vcpu->state->flags =
        (uint16_t)((flags & ~0x1400u) | (adjust ? 0x1000u : 0) | (parity ? 0x400u : 0));
}

static int64_t scan(const struct string *string, uint64_t count)
{
    uint64_t value;
    (void)count;
    if (!bt_read_value(string->vcpu, destination(string), &value, string->size))
        return -1;
    compare(string, *reg(string, REGISTER_RAX), value);
    advance(string, REGISTER_RDI, 1);
    return 1;
}

static int64_t match(const struct string *string, uint64_t count)
{
    uint64_t left, right;
    (void)count;
    if (!bt_read_value(string->vcpu, source(string), &left, string->size) ||
        !bt_read_value(string->vcpu, destination(string), &right, string->size))
        return -1;
    compare(string, left, right);
    advance(string, REGISTER_RSI, 1);
    advance(string, REGISTER_RDI, 1);
    return 1;
}

static int64_t input(const struct string *string, uint64_t count)
{
    uint64_t value = 0, physical;
    (void)count;
    if (!bt_walk(string->vcpu, destination(string), BT_WRITE, &physical))
        return -1;
    bt_port(string->vcpu, false, (uint16_t)*reg(string, REGISTER_RDX), string->size, &value);
    if (!bt_write_value(string->vcpu, destination(string), value, string->size))
        return -1;
    advance(string, REGISTER_RDI, 1);
    return 1;
}

static int64_t output(const struct string *string, uint64_t count)
{
    uint64_t value;
    (void)count;
    if (!bt_read_value(string->vcpu, source(string), &value, string->size))
        return -1;
    bt_port(string->vcpu, true, (uint16_t)*reg(string, REGISTER_RDX), string->size, &value);
    advance(string, REGISTER_RSI, 1);
    return 1;
}

static int64_t (*operation_of(const struct instruction *in))(const struct string *, uint64_t)
{
    switch (in->opcode & 0xfe) {
    case 0x6c:
        return input;
    case 0x6e:
        return output;
    case 0xa4:
        return move;
    case 0xa6:
        return match;
    case 0xaa:
        return store;
    case 0xac:
        return load;
    default:
        return scan;
    }
}

/* Whether a repeated comparison ends, by ZF. */
static bool ends(const struct string *string)
{
    const struct instruction *in = string->in;
    bool is_comparison = (in->opcode & 0xf6) == 0xa6;
    bool is_equal = guest_flags_unpack(string->vcpu->state->flags) & 1u << 6;
    return is_comparison && is_equal != in->has_repeat;
}

bool bt_execute_string(struct bt_vcpu *vcpu, const struct instruction *in)
{
    unsigned size = (in->opcode & 1) == 0 ? 1 : in->operand_size;
    bool is_port = (in->opcode & 0xfc) == 0x6c;
    if (is_port && size == 8)
        size = 4;
    if (is_port && vcpu->level > (vcpu->flags >> 12 & 3))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    struct string string = {vcpu, in, size,
                            in->address_size == 8   ? UINT64_MAX
                            : in->address_size == 4 ? UINT32_MAX
                                                    : UINT16_MAX,
                            vcpu->state->direction ? -(int64_t)size : (int64_t)size};
    int64_t (*operation)(const struct string *, uint64_t) = operation_of(in);
    if (!in->has_repeat && !in->has_repeat_not)
        return operation(&string, 1) > 0;
    uint64_t budget = BYTES_MAX / size;
    for (;;) {
        uint64_t left = *reg(&string, REGISTER_RCX) & string.mask;
        if (left == 0)
            return true;
        if (budget == 0) { /* the same again, from here on */
            vcpu->state->rip -= in->length;
            return true;
        }
        int64_t done = operation(&string, left < budget ? left : budget);
        if (done < 0)
            return false;
        budget -= (uint64_t)done;
        set_masked(&string, REGISTER_RCX, left - (uint64_t)done);
        if (ends(&string))
            return true;
    }
}
