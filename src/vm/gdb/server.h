/* The debugger's place at a machine: a Unix socket, one client at a time, and the machine's side of
 * stopping and going on. On the loop's thread, with the machine's lock. */
#ifndef HULL_VM_GDB_SERVER_H
#define HULL_VM_GDB_SERVER_H

#include "vm/machine.h"

struct gdb_server;

/* Listens at path, and holds the machine, which hasn't started yet, until a debugger lets it go.
 * NULL after an error. */
struct gdb_server *gdb_server_open(struct machine *machine, const char *path, struct error *err);
/* Tells the debugger that it is over, and removes the socket. Before machine_close(). */
void gdb_server_close(struct gdb_server *server);

#endif
