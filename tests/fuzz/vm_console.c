/* vm/device/virtio_console: whatever a guest puts into its queues, while others read and write. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/device/virtio_console.h"
#include "vm_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outside {
    int ends[2];
};

static void make_pair(int *mine, int *theirs)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    *mine = pair[0];
    *theirs = pair[1];
}

static void happen(struct guest *guest, void *context)
{
    struct outside *outside = context;
    static char bytes[1 << 16];
    unsigned what = guest_take(guest, 1), port = what >> 7;
    int theirs;
    switch (what & 3) {
    case 0:
        if (write(outside->ends[port], bytes, guest_take(guest, 1)) < 0)
            break;
        break;
    case 1:
        if (read(outside->ends[port], bytes, sizeof bytes) < 0)
            break;
        break;
    case 2:
        close(outside->ends[port]);
        make_pair(&outside->ends[port], &theirs);
        virtio_console_attach(guest->device, port, theirs, theirs);
        break;
    default:
        virtio_console_resize(guest->device, port, (uint16_t)guest_take(guest, 1), 24);
    }
    guest_turn(guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest guest;
    struct outside outside;
    struct virtio_console_port ports[2] = {{.name = "console", .is_console = true},
                                           {.name = "agent"}};
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < 2; i++) {
        make_pair(&outside.ends[i], &ports[i].in);
        ports[i].out = ports[i].in;
    }
    guest_open(&guest, virtio_console_create("console", ports, 2, true), false, data, size);
    while (guest_step(&guest, happen, &outside))
        ;
    guest_close(&guest);
    close(outside.ends[0]);
    close(outside.ends[1]);
    return 0;
}
