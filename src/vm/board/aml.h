/* Writing AML, the byte code of ACPI's definition blocks (ACPI 6.5, chapter 20): just what
 * describes this board. Packages are opened and closed; their lengths are filled in at the end. */
#ifndef HULL_VM_AML_H
#define HULL_VM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *bytes;
    size_t size, room;
    size_t open[16]; /* where the lengths of what is open stand */
    unsigned depth;
};

void aml_release(struct aml *aml);

void aml_open_scope(struct aml *aml, const char *path);  /* "\\_SB_" */
void aml_open_device(struct aml *aml, const char *name); /* four letters */
void aml_open_method(struct aml *aml, const char *name, unsigned arguments);
void aml_close(struct aml *aml);

/* Name (NAME, VALUE) */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *value);
/* An EISA id, "PNP0A08", compressed. */
void aml_name_eisa(struct aml *aml, const char *name, const char *id);
void aml_name_package(struct aml *aml, const char *name, const uint64_t *values, unsigned count);
void aml_name_buffer(struct aml *aml, const char *name, const void *bytes, size_t size);

/* In a method: If (LEqual (Arg0, value)) { Notify (device, code) } */
void aml_notify_if(struct aml *aml, uint64_t value, const char *device, uint64_t code);

/* A resource template, Name (_CRS, …): descriptors between open and close (6.4). */
void aml_open_resources(struct aml *aml);
void aml_ports(struct aml *aml, uint16_t base, uint8_t size);
void aml_memory(struct aml *aml, uint32_t base, uint32_t size);
void aml_interrupt(struct aml *aml, uint32_t line, bool edge);
void aml_bus_range(struct aml *aml, uint16_t first, uint16_t last);
void aml_port_window(struct aml *aml, uint16_t first, uint16_t last);
void aml_memory_window(struct aml *aml, uint64_t first, uint64_t last);
void aml_close_resources(struct aml *aml);

#endif
