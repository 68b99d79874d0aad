/* The registers a debugger sees: their order on the wire, and the description of it that it asks
 * for (GDB's manual, appendix G). */
#ifndef HULL_VM_GDB_REGISTERS_H
#define HULL_VM_GDB_REGISTERS_H

#include "vm/cpu/engine.h"

/* Bytes that gdb_registers_write_all() needs at most, and hexadecimal digits of one register. */
#define GDB_REGISTERS_TEXT 1024
#define GDB_REGISTER_TEXT 20

/* The description, target.xml; the caller frees it. */
char *gdb_registers_describe(void);

unsigned gdb_registers_count(void);
/* Write digits to at, without an end; return where they end. Registers that the engine doesn't
 * give (of the floating point unit) are x's: unavailable. */
char *gdb_registers_write(const struct vcpu_registers *registers, unsigned number, char *at);
char *gdb_registers_write_all(const struct vcpu_registers *registers, char *at);

/* Reads a register's digits (x's change nothing) and returns their end, or NULL: there are too few,
 * or the register can't be changed. Selectors can't: a segment is more than its selector. */
const char *gdb_registers_read(struct vcpu_registers *registers, unsigned number, const char *text);

#endif
