/* Translating guest code, a basic block at a time. See docs/binary-translation.md. */
#ifndef HULL_TRANSLATE_TRANSLATE_H
#define HULL_TRANSLATE_TRANSLATE_H

#include "translate/cache.h"

struct translate_request {
    uint64_t rip;
    uint64_t physical, physical_next; /* the latter PHYSICAL_NONE unless the first instruction
                                         crosses into another page */
    const uint8_t *code;              /* at least 8 bytes behind size can be read */
    size_t size;                      /* to the page's end, or as far as the next page was needed */
    uint32_t mode;
    unsigned instructions; /* at most so many; 0: as many as fit */
    bool is_private;       /* not to be found again: executed once */
};

/* Returns the block, or NULL if not even the first instruction lies in the code that is given. */
struct block *translate_block(struct cache *cache, const struct translate_request *request);

/* For a processor that left, or was interrupted, in the middle of a block: puts what the block
 * keeps elsewhere back into state, so that it is as before the instruction. */
void translate_restore(const struct block *block, uint16_t guest_offset, bool has_saved_flags,
                       struct guest_state *state);
/* The place of the instruction that a host address in the block belongs to. */
const struct block_place *translate_place_at(const struct cache *cache, const struct block *block,
                                             uint64_t host);

#endif
