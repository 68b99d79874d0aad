#include "vm/gdb/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "vm/log.h"

#define INT3 0xcc

static const struct engine_operations *engine_of(const struct gdb_target *target)
{
    return target->vcpus[0]->engine->operations;
}

static bool translate(const struct gdb_target *target, unsigned vcpu, uint64_t linear,
                      uint64_t *physical)
{
    return engine_of(target)->translate(target->vcpus[vcpu], linear, physical);
}

/* ---- Memory ---- */

/* How much of count lies in the page of address. */
static size_t in_page(uint64_t address, size_t count)
{
    size_t left = GUEST_PAGE_SIZE - address % GUEST_PAGE_SIZE;
    return count < left ? count : left;
}

/* Shows the guest's bytes in place of the breakpoints' in what was read. */
static void hide_breakpoints(const struct gdb_target *target, uint64_t physical, uint8_t *bytes,
                             size_t count)
{
    for (unsigned i = 0; i < target->breakpoint_count; i++) {
        const struct gdb_breakpoint *found = &target->breakpoints[i];
        uint64_t offset = found->physical - physical;
        if (found->physical >= physical && offset < count && bytes[offset] == INT3)
            bytes[offset] = found->original;
    }
}

size_t gdb_target_read(const struct gdb_target *target, unsigned vcpu, uint64_t address,
                       uint8_t *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        uint64_t physical;
        size_t piece = in_page(address + done, count - done);
        if (!translate(target, vcpu, address + done, &physical) ||
            !guest_memory_read(target->memory, physical, bytes + done, piece))
            break;
        hide_breakpoints(target, physical, bytes + done, piece);
        done += piece;
    }
    return done;
}

/* Under a breakpoint the new byte is what the guest will find there once it is removed. */
static void write_page(struct gdb_target *target, uint64_t physical, const uint8_t *bytes,
                       size_t count)
{
    guest_memory_write(target->memory, physical, bytes, count);
    for (unsigned i = 0; i < target->breakpoint_count; i++) {
        struct gdb_breakpoint *found = &target->breakpoints[i];
        uint64_t offset = found->physical - physical;
        if (found->physical < physical || offset >= count)
            continue;
        const uint8_t int3 = INT3;
        found->original = bytes[offset];
        guest_memory_write(target->memory, found->physical, &int3, 1);
    }
}

bool gdb_target_write(struct gdb_target *target, unsigned vcpu, uint64_t address,
                      const uint8_t *bytes, size_t count)
{
    uint64_t physical;
    for (size_t done = 0, piece; done < count; done += piece) {
        uint64_t room = piece = in_page(address + done, count - done);
        if (!translate(target, vcpu, address + done, &physical) ||
            !guest_memory_at_most(target->memory, physical, &room, true) || room < piece)
            return false;
    }
    for (size_t done = 0, piece; done < count; done += piece) {
        piece = in_page(address + done, count - done);
        if (translate(target, vcpu, address + done, &physical))
            write_page(target, physical, bytes + done, piece);
    }
    return true;
}

/* ---- Breakpoints in memory ---- */

static struct gdb_breakpoint *find_breakpoint(const struct gdb_target *target, uint64_t physical)
{
    for (unsigned i = 0; i < target->breakpoint_count; i++) {
        if (target->breakpoints[i].physical == physical)
            return &target->breakpoints[i];
    }
    return NULL;
}

/* Writes an int3 over the byte that is there now. */
static bool plant(const struct gdb_target *target, struct gdb_breakpoint *breakpoint)
{
    const uint8_t int3 = INT3;
    return guest_memory_read(target->memory, breakpoint->physical, &breakpoint->original, 1) &&
           guest_memory_write(target->memory, breakpoint->physical, &int3, 1);
}

static bool is_planted(const struct gdb_target *target, uint64_t physical)
{
    uint8_t byte = 0;
    return guest_memory_read(target->memory, physical, &byte, 1) && byte == INT3;
}

static int set_breakpoint(struct gdb_target *target, unsigned vcpu, uint64_t address)
{
    struct gdb_breakpoint breakpoint = {.linear = address};
    if (!translate(target, vcpu, address, &breakpoint.physical))
        return EFAULT;
    if (find_breakpoint(target, breakpoint.physical))
        return 0;
    if (target->breakpoint_count == GDB_BREAKPOINTS_MAX)
        return ENOSPC;
    if (!plant(target, &breakpoint))
        return EFAULT;
    target->breakpoints = memory_resize(target->breakpoints, target->breakpoint_count + 1,
                                        sizeof *target->breakpoints);
    target->breakpoints[target->breakpoint_count++] = breakpoint;
    return 0;
}

/* What the guest wrote there itself in the meantime stays. */
static void remove_at(struct gdb_target *target, unsigned index)
{
    const struct gdb_breakpoint *breakpoint = &target->breakpoints[index];
    if (is_planted(target, breakpoint->physical))
        guest_memory_write(target->memory, breakpoint->physical, &breakpoint->original, 1);
    target->breakpoints[index] = target->breakpoints[--target->breakpoint_count];
}

static int remove_breakpoint(struct gdb_target *target, uint64_t address)
{
    for (unsigned i = 0; i < target->breakpoint_count; i++) {
        if (target->breakpoints[i].linear == address) {
            remove_at(target, i);
            break;
        }
    }
    return 0;
}

/* The guest may have written new code over a breakpoint: that gets one, too, as long as it is what
 * the address means. (Else the page belongs to something else by now.) */
static void renew_breakpoints(struct gdb_target *target, unsigned vcpu)
{
    for (unsigned i = 0; i < target->breakpoint_count; i++) {
        struct gdb_breakpoint *breakpoint = &target->breakpoints[i];
        uint64_t physical;
        if (!is_planted(target, breakpoint->physical) &&
            translate(target, vcpu, breakpoint->linear, &physical) &&
            physical == breakpoint->physical)
            plant(target, breakpoint);
    }
}

/* ---- Breakpoints of the processors ---- */

/* Tells a processor what is set. */
static int apply(const struct gdb_target *target, unsigned vcpu)
{
    static const uint8_t kinds[] = {0, 0, 1, 3, 3}; /* of enum gdb_point */
    struct vcpu_debug debug = {.single_step = target->stepping >> vcpu & 1,
                               .breakpoints = target->breakpoint_count > 0};
    struct error err;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        const struct gdb_register_point *found = &target->registers[i];
        if (!found->is_used)
            continue;
        debug.hardware[i] = found->piece_address;
        debug.kind[i] = kinds[found->point];
        debug.length[i] = (uint8_t)found->piece_length;
    }
    if (engine_of(target)->set_debug(target->vcpus[vcpu], &debug, &err) == 0)
        return 0;
    vm_log(VM_LOG_WARNING, "debugger", "vcpu %u: %s", vcpu, err.text);
    return EIO;
}

static int apply_all(const struct gdb_target *target)
{
    int status = 0;
    for (unsigned i = 0; i < target->vcpu_count; i++) {
        int code = apply(target, i);
        status = status ? status : code;
    }
    return status;
}

static bool is_same(const struct gdb_register_point *a, enum gdb_point point, uint64_t address,
                    uint64_t length)
{
    return a->is_used && a->point == point && a->address == address && a->length == length;
}

static int remove_register_point(struct gdb_target *target, enum gdb_point point, uint64_t address,
                                 uint64_t length)
{
    bool was_there = false;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        if (is_same(&target->registers[i], point, address, length)) {
            target->registers[i] = (struct gdb_register_point){0};
            was_there = true;
        }
    }
    return was_there ? apply_all(target) : 0;
}

/* A register watches 1, 2, 4 or 8 bytes at a multiple of as many: for others it takes several. */
static bool take_registers(struct gdb_target *target, enum gdb_point point, uint64_t address,
                           uint64_t length)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS && done < length; i++) {
        struct gdb_register_point *free_one = &target->registers[i];
        if (free_one->is_used)
            continue;
        uint64_t piece = 8, at = address + done;
        while (piece > length - done || at % piece != 0)
            piece /= 2;
        *free_one = (struct gdb_register_point){true, point, address, length, at, piece};
        done += piece;
    }
    return done == length;
}

static int set_register_point(struct gdb_target *target, enum gdb_point point, uint64_t address,
                              uint64_t length)
{
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        if (is_same(&target->registers[i], point, address, length))
            return 0;
    }
    /* Address 0 stands for none in struct vcpu_debug. */
    if (length == 0 || address == 0 || address + length < address)
        return EINVAL;
    struct gdb_register_point before[VCPU_HARDWARE_BREAKPOINTS];
    memcpy(before, target->registers, sizeof before);
    int status = take_registers(target, point, address, length) ? apply_all(target) : ENOSPC;
    if (status == 0)
        return 0;
    memcpy(target->registers, before, sizeof before);
    apply_all(target);
    return status;
}

/* An instruction's breakpoint is at its first byte, whatever length the debugger gives. */
static uint64_t length_of(enum gdb_point point, uint64_t length)
{
    return point == GDB_POINT_HARDWARE ? 1 : length;
}

int gdb_target_set_point(struct gdb_target *target, unsigned vcpu, enum gdb_point point,
                         uint64_t address, uint64_t length)
{
    return point == GDB_POINT_SOFTWARE
               ? set_breakpoint(target, vcpu, address)
               : set_register_point(target, point, address, length_of(point, length));
}

int gdb_target_remove_point(struct gdb_target *target, enum gdb_point point, uint64_t address,
                            uint64_t length)
{
    return point == GDB_POINT_SOFTWARE
               ? remove_breakpoint(target, address)
               : remove_register_point(target, point, address, length_of(point, length));
}

void gdb_target_clear(struct gdb_target *target)
{
    while (target->breakpoint_count > 0)
        remove_at(target, target->breakpoint_count - 1);
    free(target->breakpoints);
    target->breakpoints = NULL;
    memset(target->registers, 0, sizeof target->registers);
    memset(target->pending, 0, sizeof target->pending);
    target->stepping = 0;
    apply_all(target);
}

/* ---- Running and stopping ---- */

/* Whether an int3 is ours; *passes: it is the guest's. Neither: it isn't there any more. */
static bool is_ours(const struct gdb_target *target, unsigned vcpu, uint64_t address, bool *passes)
{
    uint64_t physical;
    *passes = true;
    if (!translate(target, vcpu, address, &physical))
        return false;
    *passes = is_planted(target, physical) && !find_breakpoint(target, physical);
    return is_planted(target, physical) && !*passes;
}

static struct gdb_stop judge(const struct gdb_target *target, unsigned vcpu,
                             const struct vcpu_debug_event *event, bool *passes)
{
    struct gdb_stop stop = {.vcpu = vcpu, .address = event->address};
    *passes = false;
    if (event->is_breakpoint) {
        if (is_ours(target, vcpu, event->address, passes))
            stop.reason = GDB_STOP_POINT;
        return stop;
    }
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        const struct gdb_register_point *found = &target->registers[i];
        if (event->hardware >> i & 1 && found->is_used) {
            stop.reason = GDB_STOP_POINT;
            stop.point = found->point;
            stop.address = found->address;
        }
    }
    if (stop.reason == GDB_STOP_NONE && event->is_step && target->stepping >> vcpu & 1)
        stop.reason = GDB_STOP_STEP;
    *passes = stop.reason == GDB_STOP_NONE;
    return stop;
}

bool gdb_target_happened(struct gdb_target *target, struct vcpu *vcpu)
{
    struct vcpu_debug_event event;
    struct error err;
    bool passes;
    engine_of(target)->get_debug_event(vcpu, &event);
    struct gdb_stop stop = judge(target, vcpu->index, &event, &passes);
    if (passes && engine_of(target)->pass_debug_event(vcpu, &event, &err) < 0)
        vm_log(VM_LOG_WARNING, "debugger", "vcpu %u misses an exception: %s", vcpu->index,
               err.text);
    if (stop.reason == GDB_STOP_NONE)
        return false;
    target->pending[vcpu->index] = stop;
    return true;
}

bool gdb_target_take_pending(struct gdb_target *target, struct gdb_stop *stop)
{
    for (unsigned i = 0; i < target->vcpu_count; i++) {
        if (target->pending[i].reason != GDB_STOP_NONE) {
            *stop = target->pending[i];
            target->pending[i].reason = GDB_STOP_NONE;
            return true;
        }
    }
    return false;
}

/* Of what processors came to while the debugger was told of another one: what is executed comes
 * again by itself, and a step has lost its meaning. Data that was written doesn't come again. */
static bool must_tell(const struct gdb_target *target, const struct gdb_stop *stop)
{
    if (stop->reason != GDB_STOP_POINT || stop->point < GDB_POINT_WRITE)
        return false;
    for (unsigned i = 0; i < VCPU_HARDWARE_BREAKPOINTS; i++) {
        const struct gdb_register_point *found = &target->registers[i];
        if (found->is_used && found->point == stop->point && found->address == stop->address)
            return true;
    }
    return false;
}

bool gdb_target_run(struct gdb_target *target, uint32_t run, uint32_t step, struct gdb_stop *stop)
{
    struct gdb_stop pending;
    while (gdb_target_take_pending(target, &pending)) {
        if (must_tell(target, &pending)) {
            *stop = pending;
            return false;
        }
    }
    target->stepping = step & run;
    for (unsigned i = 0; i < target->vcpu_count; i++) {
        if (run >> i & 1)
            renew_breakpoints(target, i);
        apply(target, i);
    }
    target->operations->run(target, run);
    return true;
}
