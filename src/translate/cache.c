#include "translate/cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS_MAX (1u << 18)
#define SITES_MAX (1u << 21)
#define PLACES_MAX (1u << 21)
#define INSTRUCTIONS_MAX (1u << 18)
#define BLOCK_HOST_SIZE_MAX 32768u

static void *map_table(size_t count, size_t size)
{
    void *table = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return table == MAP_FAILED ? NULL : table;
}

static int map_code(struct cache *cache, struct error *err)
{
    int fd = memfd_create("translations", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)cache->size) < 0) {
        error_set(err, errno, "no memory for translated code");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    void *execute = mmap(NULL, cache->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0),
         *write = mmap(NULL, cache->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int code = errno;
    close(fd);
    cache->execute = execute == MAP_FAILED ? NULL : execute;
    cache->write = write == MAP_FAILED ? NULL : write;
    return cache->execute && cache->write ? 0 : error_set(err, code, "can't map translated code");
}

/* ---- Code that is there once ---- */

/* void enter(uint64_t target), as C calls it. */
static void write_enter(struct emitter *out)
{
    static const uint8_t push[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    emit_bytes(out, push, sizeof push);
    emit_state(out, OP_STORE, REGISTER_RSP, STATE(host_stack), true);
    emit_state(out, OP_STORE, REGISTER_RDI, STATE(jump_target), true);
    emit_flags_from_state(out);
    for (unsigned i = 0; i < REGISTER_COUNT; i++)
        emit_state(out, OP_LOAD, i, STATE(registers) + 8 * (int32_t)i, true);
    emit_jump_state(out, STATE(jump_target));
}

/* Back from enter(). has_flags: they are in the processor, and not in the state already. */
static void write_leave(struct emitter *out, bool has_flags)
{
    static const uint8_t pop[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3};
    for (unsigned i = 0; i < REGISTER_COUNT; i++)
        emit_state(out, OP_STORE, i, STATE(registers) + 8 * (int32_t)i, true);
    if (has_flags) {
        emit_flags_to_rax(out);
        emit_state_flags(out, REGISTER_RAX);
    }
    emit_state(out, OP_LOAD, REGISTER_RSP, STATE(host_stack), true);
    emit_bytes(out, pop, sizeof pop);
}

static void write_fixed_code(struct cache *cache)
{
    struct emitter out = {cache->write, cache->write + cache->size};
    cache->enter = 0;
    write_enter(&out);
    cache->leave = (uint32_t)(out.at - cache->write);
    write_leave(&out, true);
    cache->lookup = (uint32_t)(out.at - cache->write);
    emit_state_set(&out, STATE(site), SITE_INDEX_LOOKUP);
    write_leave(&out, false);
    cache->fixed = (uint32_t)(out.at - cache->write);
}

void cache_empty(struct cache *cache)
{
    cache->used = cache->fixed;
    cache->block_count = cache->place_count = cache->instruction_count = 0;
    cache->site_count = 2;
    cache->sites[SITE_INDEX_LOOKUP] = (struct site){.kind = SITE_LOOKUP, .block = INDEX_NONE};
    cache->sites[SITE_INDEX_FAULT] = (struct site){.kind = SITE_FAULT, .block = INDEX_NONE};
    memset(cache->hash, 0xff, sizeof cache->hash);
    memset(cache->pages, 0xff, sizeof cache->pages);
    for (unsigned i = 0; i < cache->state_count; i++)
        cache_clear_jumps(cache, cache->states[i]);
}

int cache_open(struct cache *cache, size_t size, struct error *err)
{
    *cache = (struct cache){.size = size};
    cache->blocks = map_table(BLOCKS_MAX, sizeof *cache->blocks);
    cache->sites = map_table(SITES_MAX, sizeof *cache->sites);
    cache->places = map_table(PLACES_MAX, sizeof *cache->places);
    cache->instructions = map_table(INSTRUCTIONS_MAX, sizeof *cache->instructions);
    if (!cache->blocks || !cache->sites || !cache->places || !cache->instructions) {
        error_set(err, ENOMEM, "no memory for the tables of translated code");
    } else if (map_code(cache, err) == 0) {
        write_fixed_code(cache);
        cache_empty(cache);
        return 0;
    }
    cache_close(cache);
    return -1;
}

static void unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

void cache_close(struct cache *cache)
{
    unmap(cache->blocks, BLOCKS_MAX * sizeof *cache->blocks);
    unmap(cache->sites, SITES_MAX * sizeof *cache->sites);
    unmap(cache->places, PLACES_MAX * sizeof *cache->places);
    unmap(cache->instructions, INSTRUCTIONS_MAX * sizeof *cache->instructions);
    unmap(cache->execute, cache->size);
    unmap(cache->write, cache->size);
    *cache = (struct cache){0};
}

void cache_add_state(struct cache *cache, struct guest_state *state)
{
    cache->states[cache->state_count++] = state;
    cache_clear_jumps(cache, state);
}

void cache_clear_jumps(const struct cache *cache, struct guest_state *state)
{
    uint64_t lookup = cache_address(cache, cache->lookup);
    for (unsigned view = 0; view < VIEW_COUNT; view++) {
        for (unsigned i = 0; i < JUMP_ENTRIES; i++)
            state->jumps[view][i] = lookup;
    }
}

/* ---- Finding blocks ---- */

static unsigned hash_of(uint64_t rip, uint64_t physical, uint32_t mode)
{
    uint64_t mixed = (physical ^ (rip >> 12 << 20) ^ mode) * 0x9e3779b97f4a7c15;
    return (unsigned)(mixed >> 48);
}

static unsigned hash_of_page(uint64_t physical)
{
    return (unsigned)((physical >> GUEST_PAGE_BITS) * 0x9e3779b97f4a7c15 >> 48);
}

static bool is_in_page(const struct block *block, unsigned which, uint64_t physical)
{
    uint64_t page = which == 0 ? block->physical : block->physical_next;
    return page != PHYSICAL_NONE && page >> GUEST_PAGE_BITS == physical >> GUEST_PAGE_BITS;
}

struct block *cache_find(struct cache *cache, uint64_t rip, uint64_t physical, uint32_t mode)
{
    for (uint32_t i = cache->hash[hash_of(rip, physical, mode)]; i != INDEX_NONE;
         i = cache->blocks[i].next_in_hash) {
        struct block *block = &cache->blocks[i];
        if (block->rip == rip && block->physical == physical && block->mode == mode &&
            !block->is_dead)
            return block;
    }
    return NULL;
}

struct block *cache_block_at(const struct cache *cache, uint64_t host)
{
    uint64_t offset = host - (uintptr_t)cache->execute;
    uint32_t low = 0, high = cache->block_count;
    if (offset >= cache->used)
        return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct block *block = &cache->blocks[middle];
        if (offset < block->host)
            high = middle;
        else if (offset >= block->host + block->host_size)
            low = middle + 1;
        else
            return block;
    }
    return NULL;
}

uint64_t cache_check_code(const uint8_t *code, size_t size)
{
    uint64_t check = size;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t piece = 0;
        __builtin_memcpy(&piece, code + i, 8); /* behind a block are bytes of its page, or copies */
        if (size - i < 8)
            piece &= (1ull << 8 * (size - i)) - 1;
        check = (check ^ piece) * 0x9e3779b97f4a7c15;
        check ^= check >> 29;
    }
    return check;
}

void cache_insert(struct cache *cache, struct block *block)
{
    uint32_t index = (uint32_t)(block - cache->blocks);
    unsigned hash = hash_of(block->rip, block->physical, block->mode);
    block->next_in_hash = cache->hash[hash];
    cache->hash[hash] = index;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t page = i == 0 ? block->physical : block->physical_next;
        if (page == PHYSICAL_NONE)
            continue;
        block->next_in_page[i] = cache->pages[hash_of_page(page)];
        cache->pages[hash_of_page(page)] = index << 1 | i;
    }
}

void cache_make_room(struct cache *cache)
{
    if (cache->used + BLOCK_HOST_SIZE_MAX < cache->size && cache->block_count < BLOCKS_MAX &&
        cache->site_count + 5 * BLOCK_INSTRUCTIONS_MAX < SITES_MAX &&
        cache->place_count + BLOCK_INSTRUCTIONS_MAX < PLACES_MAX &&
        cache->instruction_count < INSTRUCTIONS_MAX)
        return;
    cache->counters.flushes++;
    cache_empty(cache);
}

/* ---- Links between blocks ---- */

static void set_edge(struct cache *cache, const struct site *site, uint32_t to)
{
    int32_t distance = (int32_t)(to - (site->first + 4));
    __atomic_store_n((int32_t *)(void *)(cache->write + site->first), distance, __ATOMIC_RELAXED);
}

void cache_link(struct cache *cache, uint32_t index, struct block *target)
{
    struct site *site = &cache->sites[index];
    /* One that cache_unlink_edges() cut is still in its target's list. */
    if (!site->is_linked) {
        site->is_linked = true;
        site->target = (uint32_t)(target - cache->blocks);
        site->next_incoming = target->incoming;
        target->incoming = index;
    } else if (&cache->blocks[site->target] != target) {
        return;
    }
    set_edge(cache, site, target->entry);
}

/* The list of the target keeps it: that it goes is as good as linked is, but for speed. */
void cache_unlink_edges(struct cache *cache, const struct block *block)
{
    for (uint32_t i = 0; i < block->site_count; i++) {
        struct site *site = &cache->sites[block->first_site + i];
        if (site->kind == SITE_EDGE)
            set_edge(cache, site, site->second);
    }
}

void cache_invalidate(struct cache *cache, struct block *block)
{
    uint64_t host = cache_address(cache, block->host);
    block->is_dead = true;
    for (uint32_t i = block->incoming; i != INDEX_NONE; i = cache->sites[i].next_incoming) {
        set_edge(cache, &cache->sites[i], cache->sites[i].second);
        cache->sites[i].is_linked = false;
    }
    block->incoming = INDEX_NONE;
    unsigned index = jump_index(block->rip),
             view = block->mode & MODE_USER ? VIEW_USER : VIEW_KERNEL;
    for (unsigned i = 0; i < cache->state_count; i++) {
        if (cache->states[i]->jumps[view][index] == host)
            cache->states[i]->jumps[view][index] = cache_address(cache, cache->lookup);
    }
    uint32_t *link = &cache->hash[hash_of(block->rip, block->physical, block->mode)];
    while (*link != INDEX_NONE && &cache->blocks[*link] != block)
        link = &cache->blocks[*link].next_in_hash;
    if (*link != INDEX_NONE)
        *link = block->next_in_hash;
}

bool cache_has_page(const struct cache *cache, uint64_t physical)
{
    for (uint32_t i = cache->pages[hash_of_page(physical)]; i != INDEX_NONE;
         i = cache->blocks[i >> 1].next_in_page[i & 1]) {
        if (!cache->blocks[i >> 1].is_dead && is_in_page(&cache->blocks[i >> 1], i & 1, physical))
            return true;
    }
    return false;
}

unsigned cache_invalidate_page(struct cache *cache, uint64_t physical)
{
    unsigned count = 0;
    uint32_t *link = &cache->pages[hash_of_page(physical)];
    while (*link != INDEX_NONE) {
        struct block *block = &cache->blocks[*link >> 1];
        unsigned which = *link & 1;
        if (!block->is_dead && is_in_page(block, which, physical)) {
            cache_invalidate(cache, block);
            count++;
        }
        if (block->is_dead)
            *link = block->next_in_page[which];
        else
            link = &block->next_in_page[which];
    }
    return count;
}
