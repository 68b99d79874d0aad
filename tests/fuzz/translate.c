/* translate: whatever bytes are given as code, decoding stays in them and translating in its cache;
 * translations are found again, and gone once their page is changed. */
#include <stdlib.h>
#include <string.h>

#include "translate/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CACHE_SIZE (1u << 20)

static void decode_all(const uint8_t *data, size_t size)
{
    static const unsigned modes[] = {16, 32, 64};
    struct instruction in;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *exact = malloc(size ? size : 1); /* nothing behind it may be read */
        memcpy(exact, data, size);
        int length = instruction_decode(&in, exact, size, modes[i]);
        if (length > INSTRUCTION_LENGTH_MAX || (length > 0 && (size_t)length > size))
            abort();
        free(exact);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cache cache;
    static struct guest_state state;
    static uint8_t page[4096 + 64];
    if (!cache.execute && cache_open(&cache, CACHE_SIZE, NULL) < 0)
        abort();
    if (cache.state_count == 0)
        cache_add_state(&cache, &state);
    if (size < 2)
        return 0;
    decode_all(data + 2, size - 2);
    memset(page, 0x90, sizeof page);
    size = size - 2 < 4096 ? size - 2 : 4096;
    size_t offset = (size_t)(data[0] * 16) % (4096 - size + 1);
    memcpy(page + offset, data + 2, size);
    struct translate_request request = {.rip = 0xffffffff81000000 + offset,
                                        .physical = 0x1000 + offset,
                                        .physical_next = PHYSICAL_NONE,
                                        .code = page + offset,
                                        .size = 4096 - offset,
                                        .mode = data[1] & 31,
                                        .instructions = data[1] >> 5};
    if (!(request.mode & MODE_64))
        request.rip = (uint32_t)request.rip;
    struct block *block = translate_block(&cache, &request);
    if (!block)
        return 0;
    if (cache_find(&cache, request.rip, request.physical, request.mode) != block ||
        cache_block_at(&cache, cache_address(&cache, block->entry)) != block ||
        !cache_has_page(&cache, 0x1000) || block->guest_size > request.size)
        abort();
    cache_invalidate_page(&cache, 0x1000);
    if (cache_has_page(&cache, 0x1000) ||
        cache_find(&cache, request.rip, request.physical, request.mode))
        abort();
    return 0;
}
