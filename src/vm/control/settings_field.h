/* Structures described by tables: read strictly from JSON, printed as JSON, freed.
 *
 * Errors are worded as those of Firecracker, which come from its JSON library: "missing field
 * `size`", followed by " in `bandwidth`" for each object around it. */
#ifndef HULL_VM_CONTROL_SETTINGS_FIELD_H
#define HULL_VM_CONTROL_SETTINGS_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum settings_kind {
    SETTINGS_STRING,  /* char * */
    SETTINGS_BOOLEAN, /* bool */
    SETTINGS_U32,     /* uint32_t */
    SETTINGS_U64,     /* uint64_t */
    SETTINGS_CHOICE,  /* an enum: the index of the name in choices */
    SETTINGS_OBJECT,  /* a structure that begins with `bool given` */
    SETTINGS_LIST,    /* a pointer to structures, and their count */
    SETTINGS_STRINGS, /* char **, and the count */
    SETTINGS_MAC,     /* struct mac_address */
    SETTINGS_ADDRESS, /* struct in_addr, IPv4 */
    SETTINGS_CPU,     /* struct cpu_settings */
};

struct settings_object;

struct settings_field {
    const char *name;
    enum settings_kind kind;
    size_t offset;
    size_t count_offset; /* of lists and strings */
    size_t flag_offset;  /* of a bool that tells whether it was given; 0: there is none */
    bool required;
    bool nullable;              /* printed as null where it is "", 0 or absent */
    bool hidden;                /* not printed at all where it is "", 0 or absent */
    bool any_case;              /* of choices */
    const char *const *choices; /* ends with NULL */
    const struct settings_object *object;
};

struct settings_object {
    const char *name;
    const struct settings_field *fields; /* ends with one without a name */
    size_t size;
    const void *defaults; /* of size bytes, or NULL for zeroes */
};

/* Reads the object into *out, which the caller releases whatever is returned. Fields that aren't
 * given or are null stay as they are; partial: even if they are required. */
int settings_read(const struct settings_object *object, const json_t *json, bool partial, void *out,
                  struct error *err);
json_t *settings_print(const struct settings_object *object, const void *from);
void settings_set_defaults(const struct settings_object *object, void *out);
/* Frees what it owns and zeroes it. */
void settings_release(const struct settings_object *object, void *out);

/* Parses one JSON text without duplicate keys; NULL with the error. */
json_t *settings_parse(const char *text, size_t length, struct error *err);

/* The objects, in settings_tables.c. */
extern const struct settings_object settings_boot, settings_machine, settings_drive,
    settings_drive_update, settings_interface, settings_interface_update, settings_pmem,
    settings_pmem_update, settings_filesystem, settings_vsock, settings_entropy, settings_balloon,
    settings_serial, settings_memory_hotplug, settings_metadata, settings_logger, settings_metrics,
    settings_vm;

/* settings_cpu.c */
struct cpu_settings;
int cpu_settings_read(struct cpu_settings *cpu, const json_t *json, struct error *err);
void cpu_settings_release(struct cpu_settings *cpu);

#endif
