/* Address translation: the walk of the guest's page tables (Intel SDM 3A, 4.5), and the software
 * TLB that is filled from it. */
#include "vm/cpu/bt/bt_internal.h"

#define ENTRY_PRESENT 1ull
#define ENTRY_WRITE (1ull << 1)
#define ENTRY_USER (1ull << 2)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY (1ull << 6)
#define ENTRY_LARGE (1ull << 7)
#define ENTRY_GLOBAL (1ull << 8)
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_RESERVED 0x000f000000000000ull /* physical addresses have 48 bits */

#define FAULT_PRESENT 1u
#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define FAULT_RESERVED 8u
#define FAULT_FETCH 16u

struct walk {
    uint64_t physical; /* of the page of 4 KiB */
    bool is_writable, is_user, is_global, is_dirty, no_execute;
};

uint8_t *bt_host_page(const struct bt_engine *engine, uint64_t physical, bool to_write)
{
    uint64_t page = physical & ~GUEST_PAGE_MASK;
    for (unsigned i = 0; i < BT_SLOTS_MAX; i++) {
        const struct bt_slot *slot = &engine->slots[i];
        if (page - slot->address < slot->size)
            return slot->read_only && to_write ? NULL : slot->host + (page - slot->address);
    }
    return NULL;
}

static uint64_t *entry_at(const struct bt_engine *engine, uint64_t physical)
{
    uint8_t *page = bt_host_page(engine, physical, true);
    return page ? (uint64_t *)(void *)(page + (physical & (GUEST_PAGE_MASK & ~7ull))) : NULL;
}

static bool fault(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, uint32_t error)
{
    bool is_user = vcpu->level == 3 && !(access & BT_SYSTEM);
    bool tells_fetch = (vcpu->efer & EFER_NXE) || (vcpu->cr4 & CR4_SMEP);
    error |= access & BT_WRITE ? FAULT_WRITE : 0;
    error |= is_user ? FAULT_USER : 0;
    error |= (access & BT_EXECUTE) && tells_fetch ? FAULT_FETCH : 0;
    return bt_page_fault(vcpu, linear, error);
}

static uint64_t reserved_bits(const struct bt_vcpu *vcpu, unsigned level, uint64_t entry)
{
    uint64_t reserved = ENTRY_RESERVED | (vcpu->efer & EFER_NXE ? 0 : ENTRY_NO_EXECUTE);
    if (level == 3)
        reserved |= ENTRY_LARGE;
    else if (level > 0 && (entry & ENTRY_LARGE))
        reserved |= level == 2 ? 0x3fffe000ull : 0x1fe000ull;
    return reserved;
}

/* Four levels, or with PAE outside of long mode none but flat. */
static bool walk_tables(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, struct walk *walk)
{
    uint64_t table = vcpu->cr3 & ENTRY_ADDRESS;
    bool is_user = vcpu->level == 3 && !(access & BT_SYSTEM);
    *walk = (struct walk){.is_writable = true, .is_user = true};
    for (unsigned level = 3;; level--) {
        uint64_t *at = entry_at(vcpu->engine, table + 8 * (linear >> (12 + 9 * level) & 511));
        uint64_t entry = at ? __atomic_load_n(at, __ATOMIC_RELAXED) : 0;
        if (!(entry & ENTRY_PRESENT))
            return fault(vcpu, linear, access, 0);
        if (entry & reserved_bits(vcpu, level, entry))
            return fault(vcpu, linear, access, FAULT_PRESENT | FAULT_RESERVED);
        walk->is_writable = walk->is_writable && (entry & ENTRY_WRITE);
        walk->is_user = walk->is_user && (entry & ENTRY_USER);
        walk->no_execute = walk->no_execute || (entry & ENTRY_NO_EXECUTE);
        bool is_leaf = level == 0 || (level < 3 && (entry & ENTRY_LARGE));
        if (!is_leaf) {
            if (!(entry & ENTRY_ACCESSED))
                __atomic_or_fetch(at, ENTRY_ACCESSED, __ATOMIC_RELAXED);
            table = entry & ENTRY_ADDRESS;
            continue;
        }
        bool may =
            (!is_user || walk->is_user) &&
            (!(access & BT_WRITE) || walk->is_writable || (!is_user && !(vcpu->cr0 & CR0_WP))) &&
            (!(access & BT_EXECUTE) ||
             (!walk->no_execute && (is_user || !walk->is_user || !(vcpu->cr4 & CR4_SMEP))));
        if (!may)
            return fault(vcpu, linear, access, FAULT_PRESENT);
        uint64_t wanted = ENTRY_ACCESSED | (access & BT_WRITE ? ENTRY_DIRTY : 0);
        if ((entry & wanted) != wanted)
            entry = __atomic_or_fetch(at, wanted, __ATOMIC_RELAXED);
        uint64_t in_page = (1ull << (12 + 9 * level)) - 1;
        walk->is_global = entry & ENTRY_GLOBAL;
        walk->is_dirty = entry & ENTRY_DIRTY;
        walk->physical =
            ((entry & ENTRY_ADDRESS & ~in_page) | (linear & in_page)) & ~GUEST_PAGE_MASK;
        return true;
    }
}

static bool is_canonical(uint64_t linear)
{
    return (int64_t)(linear << 16) >> 16 == (int64_t)linear;
}

static bool walk_any(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, struct walk *walk)
{
    if (!(vcpu->cr0 & CR0_PG)) {
        *walk = (struct walk){.physical = (uint32_t)linear & ~GUEST_PAGE_MASK,
                              .is_writable = true,
                              .is_user = true,
                              .is_dirty = true};
        return true;
    }
    if (!is_canonical(linear))
        return bt_raise_error(vcpu, EXCEPTION_GP, 0);
    return walk_tables(vcpu, linear, access, walk);
}

bool bt_walk(struct bt_vcpu *vcpu, uint64_t linear, unsigned access, uint64_t *physical)
{
    struct walk walk;
    if (!walk_any(vcpu, linear, access, &walk))
        return false;
    *physical = walk.physical | (linear & GUEST_PAGE_MASK);
    return true;
}

bool bt_walk_code(struct bt_vcpu *vcpu, uint64_t linear, uint64_t *physical, bool *is_global)
{
    struct walk walk;
    if (!walk_any(vcpu, linear, BT_EXECUTE, &walk))
        return false;
    *physical = walk.physical | (linear & GUEST_PAGE_MASK);
    *is_global = walk.is_global;
    return true;
}

static void note_used(struct bt_used *used, uint64_t address)
{
    if (used->count < BT_USED_MAX)
        used->addresses[used->count] = address;
    if (used->count <= BT_USED_MAX)
        used->count++;
}

int bt_fill(struct bt_vcpu *vcpu, uint64_t linear, unsigned access)
{
    struct walk walk;
    struct cache *cache = &vcpu->engine->cache;
    if (!walk_any(vcpu, linear, access, &walk))
        return -1;
    uint8_t *host = bt_host_page(vcpu->engine, walk.physical, access & BT_WRITE);
    if (!host)
        return 0;
    bool has_code = cache_has_page(cache, walk.physical);
    if (has_code && (access & BT_WRITE)) {
        cache_invalidate_page(cache, walk.physical);
        has_code = false;
    }
    uint64_t page = linear & ~GUEST_PAGE_MASK, index = page >> GUEST_PAGE_BITS & (TLB_ENTRIES - 1);
    bool is_user = vcpu->level == 3;
    note_used(&vcpu->filled[is_user ? VIEW_USER : VIEW_KERNEL], page);
    struct tlb_entry *entry = &vcpu->state->tlb[is_user ? VIEW_USER : VIEW_KERNEL][index];
    bool may_write = walk.is_dirty && !has_code &&
                     (walk.is_writable || (!is_user && !(vcpu->cr0 & CR0_WP))) &&
                     bt_host_page(vcpu->engine, walk.physical, true);
    *entry = (struct tlb_entry){.read = page,
                                .write = may_write ? page : TLB_NONE(index),
                                .host = (uintptr_t)host,
                                .is_global = walk.is_global};
    return 1;
}

static void clear_entry(struct tlb_entry *entry, uint64_t index)
{
    *entry = (struct tlb_entry){.read = TLB_NONE(index), .write = TLB_NONE(index)};
}

static void flush_view(struct bt_vcpu *vcpu, unsigned view, bool with_global)
{
    struct bt_used *filled = &vcpu->filled[view];
    bool is_full = filled->count > BT_USED_MAX;
    uint32_t count = is_full ? TLB_ENTRIES : filled->count, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = is_full ? i : filled->addresses[i] >> GUEST_PAGE_BITS & (TLB_ENTRIES - 1);
        struct tlb_entry *entry = &vcpu->state->tlb[view][index];
        if (with_global || !entry->is_global)
            clear_entry(entry, index);
        else if (!is_full)
            filled->addresses[kept++] = filled->addresses[i];
        else
            filled->addresses[kept++] = index << GUEST_PAGE_BITS;
    }
    filled->count = kept;
}

/* ---- Indirect jumps, which lead to where the address was mapped ---- */

void bt_note_jump(struct bt_vcpu *vcpu, uint64_t rip, uint64_t host, bool is_global)
{
    unsigned index = jump_index(rip), view = vcpu->level == 3 ? VIEW_USER : VIEW_KERNEL;
    if (index == 0) /* it is the one that jump_mask 0 leads to */
        return;
    vcpu->state->jumps[view][index] = host;
    note_used(is_global && view == VIEW_KERNEL ? &vcpu->global_jumps : &vcpu->jumps[view], rip);
}

static void clear_jumps(struct bt_vcpu *vcpu, unsigned view, struct bt_used *used)
{
    const struct cache *cache = &vcpu->engine->cache;
    uint64_t *jumps = vcpu->state->jumps[view], lookup = cache_address(cache, cache->lookup);
    if (used->count > BT_USED_MAX) {
        for (unsigned i = 0; i < JUMP_ENTRIES; i++)
            jumps[i] = lookup;
    } else {
        for (uint32_t i = 0; i < used->count; i++)
            jumps[jump_index(used->addresses[i])] = lookup;
    }
    used->count = 0;
}

void bt_clear_jumps(struct bt_vcpu *vcpu)
{
    clear_jumps(vcpu, VIEW_USER, &vcpu->jumps[VIEW_USER]);
    clear_jumps(vcpu, VIEW_KERNEL, &vcpu->jumps[VIEW_KERNEL]);
    clear_jumps(vcpu, VIEW_KERNEL, &vcpu->global_jumps);
}

void bt_flush(struct bt_vcpu *vcpu, bool with_global)
{
    for (unsigned view = 0; view < VIEW_COUNT; view++) {
        flush_view(vcpu, view, with_global);
        clear_jumps(vcpu, view, &vcpu->jumps[view]);
    }
    if (with_global)
        clear_jumps(vcpu, VIEW_KERNEL, &vcpu->global_jumps);
}

/* Jumps into the page: one that is listed may have been replaced, and is then lost without need. */
static void clear_jumps_to(struct bt_vcpu *vcpu, unsigned view, const struct bt_used *used,
                           uint64_t linear)
{
    const struct cache *cache = &vcpu->engine->cache;
    for (uint32_t i = 0; i < used->count; i++) {
        if ((used->addresses[i] ^ linear) >> GUEST_PAGE_BITS == 0)
            vcpu->state->jumps[view][jump_index(used->addresses[i])] =
                cache_address(cache, cache->lookup);
    }
}

void bt_flush_page(struct bt_vcpu *vcpu, uint64_t linear)
{
    uint64_t index = linear >> GUEST_PAGE_BITS & (TLB_ENTRIES - 1);
    bool is_full = vcpu->global_jumps.count > BT_USED_MAX;
    for (unsigned view = 0; view < VIEW_COUNT; view++) {
        clear_entry(&vcpu->state->tlb[view][index], index);
        is_full = is_full || vcpu->jumps[view].count > BT_USED_MAX;
    }
    if (is_full) {
        bt_clear_jumps(vcpu);
        return;
    }
    for (unsigned view = 0; view < VIEW_COUNT; view++)
        clear_jumps_to(vcpu, view, &vcpu->jumps[view], linear);
    clear_jumps_to(vcpu, VIEW_KERNEL, &vcpu->global_jumps, linear);
}

/* ---- Pages with translated code ---- */

static uint64_t *bit_of(struct bt_engine *engine, uint64_t physical, uint64_t *mask)
{
    uint64_t page = (physical >> GUEST_PAGE_BITS) % BT_CODE_PAGES;
    *mask = 1ull << page % 64;
    return &engine->written.has_code[page / 64];
}

void bt_protect_code(struct bt_engine *engine, uint64_t physical)
{
    uint64_t mask, host = (uintptr_t)bt_host_page(engine, physical, false);
    uint64_t *bits = bit_of(engine, physical, &mask);
    __atomic_or_fetch(bits, mask, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < engine->vcpu_count; i++) {
        for (unsigned view = 0; view < VIEW_COUNT; view++) {
            struct tlb_entry *entries = engine->vcpus[i]->state->tlb[view];
            for (unsigned j = 0; j < TLB_ENTRIES; j++) {
                if (entries[j].host == host)
                    entries[j].write = TLB_NONE(j);
            }
        }
    }
}

void bt_note_write(struct engine *generic, uint64_t address, uint64_t size)
{
    struct bt_engine *engine = bt_engine_of(generic);
    uint64_t page = address & ~GUEST_PAGE_MASK, mask;
    bool has_any = false;
    for (; page < address + size; page += GUEST_PAGE_MASK + 1) {
        const uint64_t *bits = bit_of(engine, page, &mask);
        if (!(__atomic_load_n(bits, __ATOMIC_SEQ_CST) & mask))
            continue;
        pthread_mutex_lock(&engine->written.lock);
        if (engine->written.count < BT_WRITTEN_MAX)
            engine->written.pages[engine->written.count] = page;
        if (engine->written.count <= BT_WRITTEN_MAX)
            engine->written.count++;
        pthread_mutex_unlock(&engine->written.lock);
        has_any = true;
    }
    for (unsigned i = 0; has_any && i < engine->vcpu_count; i++)
        bt_look_again(engine->vcpus[i]);
}

void bt_forget_written(struct bt_engine *engine)
{
    pthread_mutex_lock(&engine->written.lock);
    if (engine->written.count > BT_WRITTEN_MAX)
        cache_empty(&engine->cache);
    else
        for (unsigned i = 0; i < engine->written.count; i++)
            cache_invalidate_page(&engine->cache, engine->written.pages[i]);
    engine->written.count = 0;
    pthread_mutex_unlock(&engine->written.lock);
}
