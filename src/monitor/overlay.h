/* The container's root: an overlay, mounted where nobody but the container's processes sees it. */
#ifndef HULL_MONITOR_OVERLAY_H
#define HULL_MONITOR_OVERLAY_H

#include "monitor/monitor.h"

/* Gives this process a mount namespace to which the host's mounts still come, but out of which
 * nothing goes. Returns a descriptor of the namespace it was in; *root, unless NULL, becomes one
 * of the root directory it had there: who joins the namespace has its own, which isn't that of a
 * chroot. */
int overlay_leave_host(int *root, struct error *err);

int overlay_mount(const struct monitor_overlay *overlay, struct error *err);
void overlay_unmount(const struct monitor_overlay *overlay);

#endif
