/* vm/device/virtio_balloon: whatever a guest says of its pages. */
#include "vm/device/virtio_balloon.h"
#include "vm_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void happen(struct guest *guest, void *context)
{
    uint32_t what = guest_take(guest, 1);
    struct virtio_balloon_statistics statistics;
    struct loop_timer *timer = guest->loop.timers;
    (void)context;
    switch (what & 7) {
    case 0:
    case 1:
        virtio_balloon_hinting_start(guest->device, what & 1, NULL);
        break;
    case 2:
        virtio_balloon_hinting_stop(guest->device, NULL);
        break;
    case 3:
        virtio_balloon_set_pages(guest->device, what);
        break;
    case 4:
        virtio_balloon_statistics(guest->device, &statistics, NULL);
        break;
    default:
        if (timer) {
            loop_timer_cancel(&guest->loop, timer);
            timer->expired(timer);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest guest;
    if (size == 0)
        return 0;
    const struct virtio_balloon_options options = {.statistics_interval = data[0] & 1,
                                                   .hinting = data[0] & 2,
                                                   .reporting = data[0] & 4,
                                                   .huge_pages = data[0] & 8};
    guest_open(&guest, virtio_balloon_create("balloon", &options), data[0] & 16, data + 1,
               size - 1);
    while (guest_step(&guest, happen, NULL))
        ;
    guest_close(&guest);
    return 0;
}
