/* What translated code knows of the processor it runs on: a block of memory for each processor that
 * host GS points to while it runs. Code reaches its fields by absolute displacements off GS, so
 * that no register is taken from the guest, and the same translation serves all processors.
 *
 * While translated code runs, the guest's general registers, arithmetic flags and x87/vector state
 * are in the host's own; here they are while it doesn't. */
#ifndef HULL_TRANSLATE_GUEST_STATE_H
#define HULL_TRANSLATE_GUEST_STATE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "translate/instruction.h"

#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_MASK 0xfffull

/* The software TLB: direct-mapped by the low bits of the page's number. The address less a tag is
 * the offset in the page if they match, and at least a page if not. */
#define TLB_ENTRIES 1024
struct tlb_entry {
    uint64_t read;  /* the page's linear address, if it may be read, else TLB_NONE() */
    uint64_t write; /* the same for writing: also dirty, and without translated code */
    uint64_t host;  /* where it is */
    uint64_t is_global;
};
_Static_assert(sizeof(struct tlb_entry) == 32, "translated code shifts an address to its entry");
/* A tag that no address of the entry's pages matches. */
#define TLB_NONE(entry) ((uint64_t)((entry) ^ 1) << GUEST_PAGE_BITS)

/* Who accesses memory: there is a TLB and a table of jumps for each. */
enum guest_view { VIEW_KERNEL, VIEW_USER, VIEW_COUNT };

/* Where indirect jumps go, by some bits of the guest's address. */
#define JUMP_BITS 0x1fffeull
#define JUMP_ENTRIES 65536

#define SPILLED_MAX 4 /* scratch registers of a block */

struct guest_state {
    uint64_t registers[REGISTER_COUNT];
    uint64_t rip;                  /* where an indirect jump goes, or the processor is */
    uint64_t spilled[SPILLED_MAX]; /* the guest's values of a block's scratch registers */
    uint64_t fault_address;        /* the linear address that isn't in the TLB */
    uint64_t jump_target;          /* the host address to continue at */
    uint64_t jump_mask;            /* JUMP_BITS, or 0 to make the next indirect jump leave */
    uint64_t host_stack;
    uint64_t saved_rax;
    uint64_t segment_bases[6];
    uint64_t kernel_gs_base; /* what swapgs exchanges GS' base with */
    uint32_t site;           /* why translated code was left */
    uint16_t flags; /* arithmetic ones: OF in bit 0, the others as LAHF has them in bits 8 to 15 */
    uint8_t interrupts_enabled; /* RFLAGS.IF */
    uint8_t direction;          /* RFLAGS.DF */
    /* Where an access is done that isn't one to a page of memory. */
    alignas(64) uint8_t bounce[4096];
    alignas(64) struct tlb_entry tlb[VIEW_COUNT][TLB_ENTRIES];
    alignas(64) uint64_t jumps[VIEW_COUNT][JUMP_ENTRIES];
};

/* Arithmetic flags in the form of RFLAGS, and back. */
#define ARITHMETIC_FLAGS 0x8d5u
static inline uint32_t guest_flags_unpack(uint16_t packed)
{
    return (uint32_t)(packed >> 8 & 0xd5) | (packed & 1u) << 11;
}

static inline uint16_t guest_flags_pack(uint64_t rflags)
{
    return (uint16_t)((rflags & 0xd5) << 8 | 2 << 8 | (rflags >> 11 & 1));
}

#endif
