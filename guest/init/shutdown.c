/* The machine's orderly end: the container is asked to end and has some time for it; then all is
 * killed, written and unmounted. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define LAST_WORDS_MS 2000

/* Everything but us: nothing may hold the disks, or write to them. In a machine this is every
 * process; in a test's process id namespace as well. */
static void kill_everything(struct guest *guest)
{
    process_kill_all(guest);
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void end(struct guest *guest)
{
    struct error err = {0};
    kill_everything(guest);
    sync();
    if (guest->is_booted && disks_unmount(&err) < 0)
        guest_log("%s", err.text);
    guest->loop.done = true; /* main ends the machine */
}

/* The host gets the container's last output and its status, where it listens. */
void shutdown_go_on(struct guest *guest)
{
    loop_timer_set(&guest->loop, &guest->grace,
                   process_container_is_awaited(guest) ? LAST_WORDS_MS : 0);
}

static void grace_is_over(struct loop_timer *timer)
{
    end(loop_owner(timer, struct guest, grace));
}

void shutdown_begin(struct guest *guest, int signal, int64_t grace, bool restart)
{
    struct error err;
    guest->is_restart = restart;
    if (guest->is_ending)
        return;
    guest->is_ending = true;
    guest->grace.expired = grace_is_over;
    if (!guest->container || process_signal(guest, NULL, signal, &err) < 0)
        grace = 0;
    /* Also without a container not here, but when the reply has gone. */
    loop_timer_set(&guest->loop, &guest->grace, grace);
}
