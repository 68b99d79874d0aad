/* The lists of system calls of which filters are made. */
#ifndef HULL_VM_CONFINE_RULES_H
#define HULL_VM_CONFINE_RULES_H

#include <stdint.h>

#include "vm/confine.h"

enum confine_check {
    CONFINE_ANY,     /* allowed, whatever its arguments */
    CONFINE_ONE_OF,  /* the argument is one of values */
    CONFINE_WITHOUT, /* it has none of mask's bits */
    CONFINE_WITH,    /* it has all of mask's bits */
    CONFINE_SELF,    /* it is this process's id */
    CONFINE_FAIL,    /* not made, and no offence: the call returns the error mask */
};

/* Arguments are compared in their low 32 bits, which are all that the kernel looks at in those
 * that have a check here. */
struct confine_rule {
    uint16_t call;
    uint8_t check, argument; /* counted from 0 */
    uint8_t count;
    uint32_t mask;
    const uint32_t *values;
};

/* A call may be in several lists: it is allowed if one of its rules allows it. */
struct confine_list {
    const struct confine_rule *rules;
    unsigned count;
};

/* Fills lists with those of a thread, the frequent calls first; returns how many there are. */
#define CONFINE_LISTS_MAX 6
unsigned confine_lists(enum confine_thread kind, unsigned features,
                       struct confine_list lists[CONFINE_LISTS_MAX]);

#endif
