/* The translation cache: blocks of translated code, found by what guest code they are of; the sites
 * at which they leave; which host instruction is which guest instruction's; and what must go when
 * the guest changes its code. Everything is bounded: when one part is full, all is thrown away.
 *
 * Code is kept in memory that has two mappings, one to execute and one to write, so that what
 * executes it need not be able to write it. */
#ifndef HULL_TRANSLATE_CACHE_H
#define HULL_TRANSLATE_CACHE_H

#include "base/error.h"
#include "translate/emit.h"
#include "translate/guest_state.h"

#define BLOCK_INSTRUCTIONS_MAX 48
#define PHYSICAL_NONE UINT64_MAX
#define INDEX_NONE UINT32_MAX

/* What a translation depends on beside the code and its address. */
enum {
    MODE_64 = 1,        /* 64-bit code; else 32-bit */
    MODE_USER = 2,      /* privilege level 3 */
    MODE_NO_VECTOR = 4, /* x87 and vector instructions raise #NM: CR0.TS or CR0.EM */
    MODE_FLAT = 8,      /* the bases of CS, DS, ES and SS are 0, as always in 64-bit mode */
    MODE_SINGLE = 16,   /* one instruction, and not linked to another block */
};

/* Why translated code was left. */
enum site_kind {
    SITE_LOOKUP,      /* an indirect jump to state.rip, whose target isn't known */
    SITE_FAULT,       /* the host raised a signal: the processor's exception */
    SITE_EDGE,        /* a jump within the page whose target isn't linked yet */
    SITE_MISS,        /* an access at state.fault_address that the TLB doesn't have */
    SITE_COMPLETE,    /* a bounced access has changed state.bounce */
    SITE_INSTRUCTION, /* the instruction is the runtime's to execute */
};
#define SITE_INDEX_LOOKUP 0u
#define SITE_INDEX_FAULT 1u

struct site {
    uint8_t kind;
    uint8_t access;        /* MISS, COMPLETE: ACCESS_* */
    bool has_saved_flags;  /* the guest's flags are in the block's flags register */
    bool is_linked;        /* EDGE */
    uint16_t size;         /* MISS, COMPLETE */
    uint16_t guest_offset; /* of the instruction in the block's guest code */
    uint32_t block;
    uint32_t first, second; /* EDGE: the distance of the jump, and the code to go to when not
                               linked. MISS: where to try again, and the access to state.bounce.
                               COMPLETE: where to go on. INSTRUCTION: the decoded one. */
    uint32_t next_incoming; /* EDGE, linked: the next one with the same target */
    uint32_t target;        /* EDGE, linked: the block */
    uint64_t rip;           /* EDGE: where it goes */
};

struct block_place { /* of one guest instruction */
    uint16_t host_offset, guest_offset;
    bool has_saved_flags;
};

struct block {
    uint64_t rip, physical, physical_next; /* the second page's, or PHYSICAL_NONE */
    uint32_t mode;
    uint32_t host, entry, host_size; /* host: the entry of indirect jumps; entry: of direct ones */
    uint16_t guest_size;
    bool is_dead;
    uint8_t scratch[SPILLED_MAX]; /* registers, of which those are in use that spilled says */
    uint8_t spilled;              /* a bit for each: its guest's value is in guest_state */
    uint32_t first_site, site_count, first_place, place_count;
    uint32_t next_in_hash, next_in_page[2];
    uint32_t incoming; /* sites that jump here */
    uint64_t check;    /* of the guest's bytes */
};

#define CACHE_HASH_SIZE 65536
#define CACHE_STATES_MAX 32

struct cache {
    uint8_t *execute, *write; /* the two mappings */
    size_t size, used;
    uint32_t fixed; /* how much of it is entry and exit code, that stays */
    uint32_t enter, leave, lookup;
    struct block *blocks;
    struct site *sites;
    struct block_place *places;
    struct instruction *instructions;
    uint32_t block_count, site_count, place_count, instruction_count;
    uint32_t hash[CACHE_HASH_SIZE], pages[CACHE_HASH_SIZE];
    struct guest_state *states[CACHE_STATES_MAX];
    unsigned state_count;
    struct {
        uint64_t blocks, flushes;
    } counters;
};

int cache_open(struct cache *cache, size_t size, struct error *err);
void cache_close(struct cache *cache);
/* Processors whose tables of jumps may lead into the cache. */
void cache_add_state(struct cache *cache, struct guest_state *state);
/* Runs translated code at a host address until it leaves: state is the block that GS points to, and
 * state->site says why. */
typedef void (*cache_enter_function)(uint64_t target);
static inline cache_enter_function cache_enter(const struct cache *cache)
{
    return (cache_enter_function)(uintptr_t)(cache->execute + cache->enter);
}

static inline uint64_t cache_address(const struct cache *cache, uint32_t offset)
{
    return (uintptr_t)cache->execute + offset;
}

/* Empties a processor's tables of jumps. */
void cache_clear_jumps(const struct cache *cache, struct guest_state *state);
static inline unsigned jump_index(uint64_t rip)
{
    return (unsigned)((rip & JUMP_BITS) >> 1);
}

struct block *cache_find(struct cache *cache, uint64_t rip, uint64_t physical, uint32_t mode);
/* A checksum of guest code. */
uint64_t cache_check_code(const uint8_t *code, size_t size);
/* The block that a host address lies in, or NULL. */
struct block *cache_block_at(const struct cache *cache, uint64_t host);
/* Whether translations of the page exist. */
bool cache_has_page(const struct cache *cache, uint64_t physical);
/* Forgets all translations of a page; the one that runs goes on to its end. Returns how many. */
unsigned cache_invalidate_page(struct cache *cache, uint64_t physical);
void cache_invalidate(struct cache *cache, struct block *block);
/* Forgets everything; not while code of a block goes on. */
void cache_empty(struct cache *cache);
/* Lets an edge lead to a block without leaving, and not any more. */
void cache_link(struct cache *cache, uint32_t site, struct block *target);
void cache_unlink_edges(struct cache *cache, const struct block *block);
/* Room for one more block; empties the cache if there is none. */
void cache_make_room(struct cache *cache);
void cache_insert(struct cache *cache, struct block *block);

#endif
