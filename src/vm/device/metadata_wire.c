#include "vm/device/metadata_wire.h"
void metadata_wire_release(struct metadata_wire *wire)
{
    (void)wire;
}
void metadata_wire_attach(struct metadata_wire *wire, struct loop *loop,
                          void (*ready)(void *context), void *context)
{
    (void)wire, (void)loop, (void)ready, (void)context;
}
void metadata_wire_reset(struct metadata_wire *wire)
{
    (void)wire;
}
bool metadata_wire_is_for(const struct metadata_wire *wire, const uint8_t *frame, size_t size)
{
    (void)wire, (void)frame;
    return size == 0;
}
void metadata_wire_take(struct metadata_wire *wire, const uint8_t *frame, size_t size)
{
    (void)wire, (void)frame, (void)size;
}
size_t metadata_wire_next(struct metadata_wire *wire, uint8_t *frame)
{
    (void)wire, (void)frame;
    return 0;
}
