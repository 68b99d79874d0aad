/* vm/device/virtio_mem: whatever a guest plugs and unplugs, it has no more than it was given. */
#include "vm/device/virtio_mem.h"
#include "vm_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADDRESS (1ull << 32)
#define BLOCK VIRTIO_MEM_BLOCK_MIN
#define SLOT (4 * BLOCK)
#define TOTAL (8 * SLOT)

static uint64_t exposed, granted;

static int expose(void *context, uint64_t address, uint64_t size, bool on, struct error *err)
{
    uint64_t bit = 1ull << (address - ADDRESS) / SLOT;
    const struct guest *guest = context;
    if (size != SLOT || (address - ADDRESS) % SLOT || on == ((exposed & bit) != 0))
        abort();
    if (on && guest->size % 7 == 0)
        return error_set(err, 0, "no");
    exposed ^= bit;
    return 0;
}

static void happen(struct guest *guest, void *context)
{
    uint64_t wanted = guest_take(guest, 1) % (TOTAL / BLOCK + 1) * BLOCK;
    (void)context;
    if (virtio_mem_request(guest->device, wanted, NULL) < 0)
        abort();
    granted = granted > wanted ? granted : wanted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guest guest;
    const struct virtio_mem_options options = {ADDRESS, TOTAL, BLOCK, SLOT, expose, &guest};
    struct virtio_mem_status status;
    exposed = granted = 0;
    guest_open(&guest, virtio_mem_create("mem", &options, NULL), false, data, size);
    if (guest_memory_add(&guest.memory, ADDRESS, TOTAL, false, false, NULL) < 0)
        abort();
    guest_start(&guest, ~0ull);
    while (guest_step(&guest, happen, NULL)) {
        virtio_mem_status(guest.device, &status);
        if (status.plugged_size > granted || (status.plugged_size == 0) != (exposed == 0))
            abort();
    }
    guest_close(&guest);
    return 0;
}
