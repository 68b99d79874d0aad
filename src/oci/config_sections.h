/* The parts of the parser, one a section of the document; private to config_*.c. Each convert
 * function takes the node of its object, fills its zeroed result, and returns -1 with the error
 * set if anything in there is wrong. */
#ifndef HULL_OCI_CONFIG_SECTIONS_H
#define HULL_OCI_CONFIG_SECTIONS_H

#include "oci/config_reader.h"

int config_convert_process(const struct config_node *node, struct config_process **out);
int config_convert_linux(const struct config_node *node, struct config_linux *out);
int config_convert_resources(const struct config_node *node, struct config_resources **out);
int config_convert_seccomp(const struct config_node *node, struct config_seccomp **out);

/* Pieces that several sections have; they behave as the config_read_… functions do. */
int config_read_id_mappings(const struct config_node *from, const char *key,
                            struct config_id_mappings *out);
int config_read_environment(const struct config_node *from, const char *key,
                            struct config_strings *out);

/* Refuses contradictions between sections: what needs a namespace that isn't there, and so on. */
int config_check_contradictions(const struct config *config, struct error *err);

#endif
