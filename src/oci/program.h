/* The command line of hull-oci: what it understands, not what it does. The verbs, their flags and
 * their meaning are runc's, so that whoever calls runc can call hull-oci. */
#ifndef HULL_OCI_PROGRAM_H
#define HULL_OCI_PROGRAM_H

#include "base/command.h"

extern const struct command_program oci_program;

#endif
