#include "vm/device/metadata_wire.h"
struct metadata_wire *metadata_wire_create(struct in_addr address, const struct metadata_answerer *answerer){(void)address;(void)answerer;return 0;}
