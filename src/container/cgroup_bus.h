/* systemd's D-Bus interface through sd-bus, loaded when it is first needed: linking libsystemd
 * would cost every start 0.6 ms. */
#ifndef HULL_CONTAINER_CGROUP_BUS_H
#define HULL_CONTAINER_CGROUP_BUS_H

#include <systemd/sd-bus.h>

#include "container/cgroup_internal.h"

#define BUS_FUNCTIONS(X)                                                                           \
    X(sd_bus_open_system)                                                                          \
    X(sd_bus_open_user)                                                                            \
    X(sd_bus_flush_close_unref)                                                                    \
    X(sd_bus_call)                                                                                 \
    X(sd_bus_call_method)                                                                          \
    X(sd_bus_error_free)                                                                           \
    X(sd_bus_get_property_string)                                                                  \
    X(sd_bus_match_signal)                                                                         \
    X(sd_bus_message_append)                                                                       \
    X(sd_bus_message_append_array)                                                                 \
    X(sd_bus_message_append_basic)                                                                 \
    X(sd_bus_message_close_container)                                                              \
    X(sd_bus_message_new_method_call)                                                              \
    X(sd_bus_message_open_container)                                                               \
    X(sd_bus_message_read)                                                                         \
    X(sd_bus_message_unref)                                                                        \
    X(sd_bus_process)                                                                              \
    X(sd_bus_wait)

/* libsystemd's functions under their own names. */
struct bus_library {
    void *handle;
#define BUS_MEMBER(name) __typeof__(&name) name;
    BUS_FUNCTIONS(BUS_MEMBER)
#undef BUS_MEMBER
};

/* Appends the unit properties "(sv)" that express linux.resources, as far as systemd knows such
 * limits. Negative: a negative errno, *err filled. */
int bus_append_resources(const struct bus_library *library, sd_bus_message *message,
                         const struct cgroup *cgroup, const struct config_resources *resources,
                         struct error *err);
/* Appends one property from an annotation: org.systemd.property.NAME, with the value in GVariant
 * text format. */
int bus_append_annotation(const struct bus_library *library, sd_bus_message *message,
                          const char *name, const char *value, struct error *err);

#endif
